"""Made-up reviews with made-up files, and the three files of a source that hold them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
import wave
import zlib
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.oracle.model import File, Record

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]
"""One of several: a hypothesis draw, or a random number generator's choice."""

NAMES = ("a.jsonl", "b.csv", "c.parquet")
"""The files of every source."""
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
IDS = (
    "a", "A", "b", "r1", "r10", "r2", "007", "7", "-1", "18446744073709551616", "отзыв", "Отзыв", "й", "и\u0306",
    "a b", " a", "a ", "a,b", 'a"b', "a;b", "a/b", "a\\b", "a%20b", "=1+1", "+7", "@a", "'a", "day=2026-03-01",
    "\uff61", "\U00010000", "\U0001f600", "\ue000", "\u00e9", "e\u0301", "true", "{}", "x" * 256,
    "0b3a8a36-54b1-4c5e-8e4e-3a7d5f1c9e21", "0B3A8A36-54B1-4C5E-8E4E-3A7D5F1C9E21",
    "9f1c2d3e-0000-4000-8000-000000000000", "10000000-0000-4000-8000-000000000000",
)  # fmt: skip
"""Letters of every plane, numbers, formulas, ids that are alike but for case, blanks or composition."""
TEXTS = (
    None, "", "  ", "Отличный курс!", "Ужасно, «всё» сломано", "нормально", "=себе и другим", "- плюс\n- минус",
    'он сказал "да"; потом, нет', "Great course", "!!!", "'кавычка", "ёжик и Ёж", "длинно " * 40,
)  # fmt: skip
AUTHORS = (None, "Анна Нова", "Иван Петров", "Пётр")


def _png(seed: int) -> bytes:
    """A picture of noise in the size that image_pixels looks at."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _wav(pitch: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes((np.sin(np.arange(1600) * pitch / 2500) * 9000).astype("<i2").tobytes())
    return stream.getvalue()


MISSING = "files/nowhere.png"
CONTENTS: dict[str, bytes] = {
    **{f"files/{n}.png": _png(n) for n in range(9)},
    "files/copy of 0.png": _png(0),
    **{f"files/{n}.wav": _wav(n + 1) for n in range(4)},
    "files/cut off.png": _png(99)[:200],
    "files/note.txt": "не картинка".encode(),
}
BY_SHA256 = {hashlib.sha256(data).hexdigest(): data for data in CONTENTS.values()}
URIS = (MISSING, *CONTENTS)


def comes_to(kind: str, uri: str) -> File:
    """What a reference to a file of the source comes to."""
    data = CONTENTS.get(uri)
    if data is None:
        return File(uri, kind, "missing", "not found", None, None, None)
    known = {"png": ("image", "image/png"), "wav": ("audio", "audio/wav")}.get(uri[-3:])
    if known is None:
        return File(uri, kind, "unsupported", "no known type", None, len(data), None)
    if kind not in ("other", known[0]):
        return File(uri, kind, "unsupported", "another kind", None, len(data), known[1])
    return File(uri, known[0], "ok", None, hashlib.sha256(data).hexdigest(), len(data), known[1])


def author_of(review_id: str) -> str | None:
    """A review is always the same person's."""
    return AUTHORS[zlib.crc32(review_id.encode()) % len(AUTHORS)]


def record(choose: Choose, ids: Sequence[str], *, refused: bool = False) -> Record:
    """A record of a review, in the state that the choices make."""
    review_id = choose(ids)
    created = FIRST + timedelta(days=choose(range(4)), hours=choose((0, 9, 14, 23)))
    references = tuple((choose(("image", "audio", "other")), choose(URIS)) for _ in range(choose((0, 1, 0, 2, 3, 5))))
    return Record(
        review_id=review_id,
        text=choose(TEXTS) or None,
        created_at=created,
        updated_at=choose((None, FIRST + timedelta(days=9), FIRST + timedelta(days=9, minutes=1), FIRST)),
        rating=9.0 if refused else choose((None, 1.0, 4.5, 5.0)),
        author=author_of(review_id),
        course_id=choose((None, "sql", "101")),
        attachments=references,
        files=tuple(comes_to(kind, uri) for kind, uri in references),
        source_file=NAMES[0] if refused else choose(NAMES),
        refused=refused,
    )


def records(seed: int, count: int, known: Collection[str]) -> list[Record]:
    """Many: new ones with random ids, edits of what is ``known``, doubles, and a few that are refused."""
    random = Random(seed)
    old = sorted(known)
    fresh = [str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(count)]
    found: list[Record] = []
    for number in range(count):
        ids = random.choice([old or IDS, IDS, [fresh[number]], [fresh[number]], [fresh[number]], fresh[: number + 1]])
        found.append(record(random.choice, ids, refused=random.random() < 0.01))
        if random.random() < 0.1:
            found.append(random.choice(found))
    random.shuffle(found)
    return found


def write(folder: Path, given: Sequence[Record], zone: ZoneInfo) -> list[Record]:
    """The source's three files, its records in them; returns these in the order in which they are read."""
    for name, data in CONTENTS.items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    by_file = {name: [each for each in given if each.source_file == name] for name in NAMES}
    _write_jsonl(folder / NAMES[0], by_file[NAMES[0]])
    _write_csv(folder / NAMES[1], by_file[NAMES[1]], zone)
    _write_parquet(folder / NAMES[2], by_file[NAMES[2]])
    return [each for several in by_file.values() for each in several]


_COLUMNS = ("review_id", "text", "created_at", "updated_at", "rating", "author", "course_id", "attachments")


def _values(one: Record) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in _COLUMNS},
        "attachments": [{"kind": kind, "uri": uri} for kind, uri in one.attachments],
    }


def _write_jsonl(path: Path, given: Sequence[Record]) -> None:
    """Times with an offset, whole numbers as numbers, what is not there as null, empty or not at all."""
    lines = []
    for number, one in enumerate(given):
        said = _values(one)
        for name in ("created_at", "updated_at"):
            said[name] = said[name] and said[name].astimezone(timezone(timedelta(hours=number % 5))).isoformat()
        if one.review_id.isdecimal() and str(int(one.review_id)) == one.review_id:
            said["review_id"] = int(one.review_id)
        if number % 3:
            said = {name: value for name, value in said.items() if value is not None}
        elif said["text"] is None:
            said["text"] = ""
        lines.append(json.dumps(said, ensure_ascii=number % 2 == 0))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


def _write_csv(path: Path, given: Sequence[Record], zone: ZoneInfo) -> None:
    """Times without a zone, which are the lake's."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for one in given:
            said = _values(one)
            for name in ("created_at", "updated_at"):
                said[name] = said[name] and said[name].astimezone(zone).replace(tzinfo=None).isoformat(" ")
            said["attachments"] = json.dumps(said["attachments"]) if one.attachments else ""
            writer.writerow(said)


_SCHEMA = pa.schema(
    {
        **dict.fromkeys(("review_id", "text", "author", "course_id"), pa.string()),
        **dict.fromkeys(("created_at", "updated_at"), pa.timestamp("us", "UTC")),
        "rating": pa.float64(),
        "attachments": pa.list_(pa.struct({"kind": pa.string(), "uri": pa.string()})),
    }
)


def _write_parquet(path: Path, given: Sequence[Record]) -> None:
    pq.write_table(pa.Table.from_pylist([_values(one) for one in given], _SCHEMA), path)
