"""Packed files: read whole, in one part or several, or one error that names the file."""

from __future__ import annotations

import bz2
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from otzyv.tasks.sources import Record, SourceError, files, packing, read
from tests.tasks.sources.reviews import UTC, line


def zstd(data: bytes) -> bytes:
    class Kept(io.BytesIO):
        def close(self) -> None: ...

    sink = Kept()
    with pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), "zstd") as packer:
        packer.write(data)
    return sink.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}
CSV = "review_id,created_at,text\n"


def ids(path: Path) -> list[str]:
    found = list(read(files(path)[0], mapping={}, timezone=UTC))
    return [one.review_id for one in found if isinstance(one, Record)]


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("form", [".jsonl", ".json", ".csv", ".tsv"])
def test_one_part_or_several_are_read_whole(tmp_path: Path, ending: str, form: str) -> None:
    parts = [b"\n".join(line(review_id=f"r{part}-{n}") for n in range(40)) + b"\n" for part in range(3)]
    if form in (".csv", ".tsv"):
        rows = [[f"r{part}-{n},2026-03-01,Отзыв" for n in range(40)] for part in range(3)]
        parts = [("\n".join(some) + "\n").encode() for some in rows]
        parts[0] = CSV.encode() + parts[0]
    path = tmp_path / f"a{form}{ending}"
    path.write_bytes(b"".join(map(PACKERS[ending], parts)))
    assert ids(path) == [f"r{part}-{n}" for part in range(3) for n in range(40)]


@pytest.mark.parametrize("ending", PACKERS)
def test_what_is_cut_short_or_not_packed_is_one_error(tmp_path: Path, ending: str) -> None:
    chance = random.Random(4)
    lines = b"\n".join(line(review_id=f"r{n}", text=str(chance.random()) * 9) for n in range(300))
    packed = PACKERS[ending](lines)
    path = tmp_path / f"a.jsonl{ending}"
    for size in (len(packed) - 1, len(packed) // 2, 5):
        path.write_bytes(packed[:size])
        with pytest.raises(SourceError, match=rf"a\.jsonl\{ending} is broken .* or cut short"):
            ids(path)
    for data, what in ((b"", "is empty"), (lines, "is not")):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=rf"a\.jsonl\{ending} {what}.*a name without \{ending}"):
            ids(path)


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("form", [".jsonl", ".csv"])
def test_a_bomb_is_refused_before_it_fills_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, form: str
) -> None:
    monkeypatch.setattr(packing, "FREE_BYTES", 2**20)
    path = tmp_path / f"a{form}{ending}"
    path.write_bytes(PACKERS[ending](CSV.encode() + b"\n" * 2**23))
    with pytest.raises(SourceError, match="unpacks to more than 500 times its size"):
        ids(path)
