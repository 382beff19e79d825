"""Contents and records broken in every way end as a row with a status or in quarantine; nothing else suffers."""

from __future__ import annotations

import bz2
import gzip
import json
import random
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otzyv.schemas.tables import STATUSES
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.card import Modality
from otzyv.tasks.extractors.contract.contents import contained, content, contents, good, image
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.sources import REASONS, Record, SourceError, files, read
from tests.faults.counts import turns
from tests.flows.command import review

A_BATCH = 20
SOUNDS = [
    contained(np.sin(np.arange(12_000) / 7).astype(np.float32), 8_000, container, coding)
    for container, coding in (
        ("amr", "libopencore_amrnb"), ("adts", "aac"), ("mp3", "libmp3lame"), ("caf", "pcm_s16be"), ("asf", "wmav2"),
        ("matroska", "libopus"), ("ogg", "libopus"), ("wav", "adpcm_ms"),
    )
]  # fmt: skip


def broken(data: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, cut off, doubled, exchanged or put in."""
    at, to = sorted(chance.choices(range(len(data)), k=2))
    junk = chance.randbytes(chance.randint(1, 64))
    return chance.choice(
        [
            data[:at],
            data[:at] + data[to:],
            data[:to] + data[at:],
            data[:at] + junk + data[at:],
            data[:at] + junk + data[at + len(junk) :],
            data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            junk,
        ]
    )


@pytest.mark.parametrize(("modality", "name"), [("image", "image_pixels"), ("audio", "audio_spectrum")])
def test_a_broken_file_costs_its_own_values_and_nothing_else(modality: Modality, name: str) -> None:
    chance, whole = random.Random(8), [bytes(each) for each in good(modality) if isinstance(each, bytes)]
    whole += [image(name) for name in ("BMP", "TIFF", "AVIF")] if modality == "image" else SOUNDS
    (right,) = extract(get(name), None, contents(whole))
    for _ in turns(f"broken {modality} files", 2, 35, each=A_BATCH):
        hostile = [content(broken(chance.choice(whole), chance)) for _ in range(A_BATCH)]
        (made,) = extract(get(name), None, [*hostile, *contents(whole)])
        assert made["content_sha256"].to_pylist()[:A_BATCH] == [each.sha256 for each in hostile]
        assert set(made["status"].to_pylist()) <= set(STATUSES)
        assert made.slice(A_BATCH).equals(right), "a broken file changed the rows of whole ones"


def test_a_broken_record_is_refused_for_a_known_reason_and_the_others_are_read(tmp_path: Path) -> None:
    chance = random.Random(9)
    whole = json.dumps(review("the whole one"), ensure_ascii=False).encode()
    for _ in turns("broken records", 5, 30, each=A_BATCH):
        lines = [broken(whole, chance).replace(b"\n", b"").replace(b"\r", b"") for _ in range(A_BATCH)]
        (tmp_path / "hostile.jsonl").write_bytes(b"\n".join([*(line for line in lines if line.strip()), whole]))
        (file,) = files(str(tmp_path))
        found = list(read(file, mapping={}, timezone=ZoneInfo("UTC")))
        assert len(found) == 1 + sum(bool(line.strip()) for line in lines)
        assert isinstance(found[-1], Record)
        assert all(isinstance(item, Record) or item.reason in REASONS for item in found)


WHOLE = [review(str(n)) for n in range(50)]
TABLE = "review_id;text;created_at\n" + "".join(f'{n};"Текст; {n}";2026-03-01\n' for n in range(50))
WRITTEN = {
    ".csv": TABLE.encode(), ".tsv": TABLE.replace(";", "\t").encode("utf-16"), ".csv.gz": gzip.compress(TABLE.encode()),
    ".json": json.dumps(WHOLE, indent=1).encode(), ".jsonl.bz2": bz2.compress(json.dumps(WHOLE).encode()),
}  # fmt: skip


@pytest.mark.parametrize("ending", WRITTEN)
def test_a_broken_file_of_text_is_read_or_refused_in_words(tmp_path: Path, ending: str) -> None:
    chance = random.Random(11)
    path = tmp_path / f"hostile{ending}"
    errors: list[str] = []
    for _ in turns(f"broken {ending} files", 10, 100):
        path.write_bytes(broken(WRITTEN[ending], chance))
        try:
            found = list(read(files(path)[0], mapping={}, timezone=ZoneInfo("UTC")))
        except SourceError as error:
            errors.append(str(error))
        else:
            assert all(isinstance(item, Record) or item.reason in REASONS for item in found)
            assert len({item.offset for item in found}) == len(found)
    assert all(path.name in error for error in errors)


def test_a_broken_file_of_records_is_read_or_refused_in_words(tmp_path: Path) -> None:
    chance = random.Random(10)
    path = tmp_path / "hostile.parquet"
    pq.write_table(pa.Table.from_pylist([review(str(n)) for n in range(50)]), path)
    whole = path.read_bytes()
    ends: list[object] = []
    for _ in turns("broken Parquet files", 20, 100):
        path.write_bytes(broken(whole, chance))
        try:
            (file,) = files(str(tmp_path))
            ends.append(len(list(read(file, mapping={}, timezone=ZoneInfo("UTC")))))
        except SourceError as error:
            ends.append(str(error))
    assert all(end == 50 or path.name in str(end) for end in ends), "rows went missing without a word"
