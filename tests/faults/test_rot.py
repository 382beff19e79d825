"""Bytes that are not those that were written are found before anybody reads them as data."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from schemas.tables import CLEAN_TEXT
from tasks.lake import Lake, storage
from tasks.lake.publish import commit
from tasks.lake.snapshot import CorruptFile, TornLog, open_snapshot, read_table
from tests.faults.counts import turns
from tests.tasks.lake.test_publish import DAY, staged


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    for seed in (1, 2):
        commit(made.storage, open_snapshot(made.storage, CLEAN_TEXT), [DAY], staged(made.storage, seed))
    return made


def test_every_flipped_bit_in_a_data_file_is_found(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = lake.snapshot(CLEAN_TEXT).files
    path = Path(lake.storage.at(file.path))
    whole = path.read_bytes()
    bits = len(whole) * 8
    flips = random.Random(4).sample(range(bits), bits)
    for turn in turns("bit flipped in a data file", bits // 20, 5000):
        flip = flips[turn]
        broken = bytearray(whole)
        broken[flip // 8] ^= 1 << flip % 8
        path.write_bytes(broken)
        monkeypatch.setattr(storage, "_KNOWN", {})  # another process
        with pytest.raises(CorruptFile, match=path.name):
            read_table(lake.storage, CLEAN_TEXT, [file], ["review_id"])
    path.write_bytes(whole)
    assert read_table(lake.storage, CLEAN_TEXT, [file]).num_rows == file.rows


def test_a_log_cut_anywhere_is_refused(lake: Lake) -> None:
    log = Path(lake.storage.at("clean_text/_delta_log"))
    newest = log / f"{2:020}.json"
    whole = newest.read_bytes()
    lines = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    cuts = [0, *lines, *(place + 1 for place in lines), *random.Random(5).sample(range(len(whole)), len(whole))]
    for turn in turns("log cut off", 50, 800):
        newest.write_bytes(whole[: cuts[turn]])
        with pytest.raises(TornLog, match=newest.name):
            lake.snapshot(CLEAN_TEXT)
    newest.write_bytes(whole)
    (log / f"{1:020}.json").write_bytes(b"")
    with pytest.raises(TornLog, match=f"{1:020}"):
        lake.snapshot(CLEAN_TEXT)


def test_a_flipped_bit_in_an_attached_file_is_found(lake: Lake) -> None:
    from tasks.lake.blobs import blob_path, put_blob, read_blob
    from tasks.lake.contents import _sha256

    sha256 = _sha256("a photo")
    put_blob(lake.storage, b"a photo", sha256)
    assert read_blob(lake.storage, sha256) == b"a photo"
    Path(lake.storage.at(blob_path(sha256))).write_bytes(b"a pxoto")
    with pytest.raises(storage.DamagedFile, match="ingest its source again"):
        read_blob(lake.storage, sha256)
