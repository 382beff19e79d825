"""Makes the demo reviews: ``python -m otzyv.infra.demo.make [FOLDER]``, by default ``reviews`` beside this file.

``texts/DAY.toml`` holds the records of one day in the order they are sent; each becomes one file, in a format of its
own so that every reader is shown. A record has an ``id`` and when it was written (``at``), and may have ``edited``,
``author``, ``course``, ``rating``, ``text`` and ``files``. Beside good ones there are faulty ones: a value missing or
of the wrong type, ``encoding`` for a record in another one than UTF-8, ``raw`` for a line as it stands, ``again`` for
one sent a second time. ``times`` repeats a text.

Pictures are drawn by ``pictures.py``. Voice notes are spoken by espeak-ng from ``texts/voice.toml``; only those that
are not there yet, for an encoder of Ogg puts a random number into its files. To speak one again, delete it.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from otzyv.infra.demo.pictures import PICTURES, encoded

HERE = Path(__file__).parent
FORMATS: Mapping[str, str] = MappingProxyType({"2026-03-01": "jsonl", "2026-03-02": "csv", "2026-03-03": "parquet"})

_ATTACHMENTS = pa.list_(pa.struct([("kind", pa.string()), ("uri", pa.string())]))
_SCHEMA = pa.schema(
    [
        ("review_id", pa.string()), ("created_at", pa.timestamp("us", tz="UTC")),
        ("updated_at", pa.timestamp("us", tz="UTC")), ("author", pa.string()), ("course_id", pa.string()),
        ("course_title", pa.string()), ("rating", pa.float32()), ("text", pa.string()), ("source", pa.string()),
        ("attachments", _ATTACHMENTS),
    ]
)  # fmt: skip
_SOUND: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        ".ogg": ("OPUS", 16_000), ".mp3": ("MPEG_LAYER_III", 16_000), ".flac": ("PCM_16", 8_000),
        ".wav": ("PCM_16", 8_000),
    }
)  # fmt: skip
"""Ending -> how a voice note is encoded, and its rate in Hz."""


def main(folder: Path) -> None:
    """Write everything under ``folder``; needs espeak-ng on the PATH if a voice note is missing there."""
    for part in ("photos", "voice"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for day, ending in FORMATS.items():
        (folder / f"{day}.{ending}").write_bytes(source(day))
    for name in PICTURES:
        (folder / "photos" / name).write_bytes(encoded(name))
    for note in _toml("voice")["note"]:
        path = folder / "voice" / note["name"]
        if not path.exists():
            path.write_bytes(speech(**note))
    for name, data in broken(folder).items():
        (folder / name).write_bytes(data)


def source(day: str) -> bytes:
    """The file of a day's records."""
    records, courses = _toml(day)["record"], _toml("courses")
    ids = {record["id"]: record for record in records if "id" in record}
    records = [ids[record["again"]] if "again" in record else record for record in records]
    rows = [record if "raw" in record else _row(record, courses) for record in records]
    return {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}[FORMATS[day]](rows)


def speech(name: str, text: str, voice: str, speed: int = 165, pitch: int = 50) -> bytes:
    """A text spoken by espeak-ng, encoded as the file's name says."""
    import soundfile
    import soxr

    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    wave = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - our own words
    samples, spoken_at = soundfile.read(io.BytesIO(wave), dtype="float32")
    subtype, rate = _SOUND[PurePath(name).suffix]
    out = io.BytesIO()
    out.name = name  # tells soundfile the format
    squeeze = {"compression_level": 0.9} if subtype == "OPUS" else {}
    soundfile.write(out, soxr.resample(samples, spoken_at, rate), rate, subtype=subtype, **squeeze)
    return out.getvalue()


def broken(folder: Path) -> dict[str, bytes]:
    """Attachments as they arrive from bad connections and odd programs, by their path in ``folder``."""
    photo, note = (folder / "photos" / "latte.jpg").read_bytes(), (folder / "voice" / "grandpa.wav").read_bytes()
    words = "Это не файл, это просто текст с чужим именем.\n".encode()
    return {
        "photos/broken_upload.jpg": photo[: len(photo) // 3],
        "photos/not_an_image.png": words,
        "voice/cut_off.wav": note[: len(note) // 2],
        "voice/not_audio.ogg": words,
    }


def _row(record: Mapping[str, Any], courses: Mapping[str, str]) -> dict[str, Any]:
    text = record.get("text")
    return {
        "review_id": record.get("id"),
        "created_at": record["at"],
        "updated_at": record.get("edited"),
        "author": record.get("author"),
        "course_id": record["course"],
        "course_title": courses[record["course"]],
        "rating": record.get("rating"),
        "text": text and text * record.get("times", 1),
        "source": "demo",
        "attachments": [
            {"kind": "audio" if PurePath(uri).suffix in _SOUND else "image", "uri": uri}
            for uri in record.get("files", ())
        ],
        "encoding": record.get("encoding", "utf-8"),
    }


def _jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    lines = []
    for row in rows:
        said = {name: value for name, value in row.items() if name != "encoding" and value not in (None, [])}
        line = row["raw"] if "raw" in row else json.dumps(said, ensure_ascii=False, default=datetime.isoformat)
        lines.append(line.encode(row.get("encoding", "utf-8")) + b"\n")
    return b"".join(lines)


def _csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, _SCHEMA.names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if "raw" in row:
            out.write(row["raw"] + "\n")
        else:
            attached = json.dumps(row["attachments"], ensure_ascii=False) if row["attachments"] else ""
            writer.writerow({**row, "attachments": attached})
    return out.getvalue().encode()


def _parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    aware = [
        {name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(aware, schema=_SCHEMA), out, compression="zstd")
    return bytes(out.getvalue())


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / "texts" / f"{name}.toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reviews")
