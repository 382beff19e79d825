"""What is computed stays computed; what changed is computed anew."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import feature_table
from otzyv.tasks.lake.delta.day import CheckFailed, publish_days
from otzyv.tasks.lake.delta.snapshot import open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.features import row_cache
from otzyv.tasks.lake.features.row_cache import SLICE, ChunkGone, RowCache, sweep

DAY = date(2026, 3, 1)
VECTOR = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, dim=3, doc="three numbers")
TABLE: Table = feature_table("toy", [VECTOR], row="a toy", attached=False)
FINGERPRINT = "f" * 64


def sha(number: int) -> str:
    return f"{number:064x}"


def chunk(numbers: list[int], status: str = "ok", scale: float = 1.0) -> pa.RecordBatch:
    vectors = [[n * scale, 1.0, 2.0] if status == "ok" else None for n in numbers]
    return pa.record_batch(
        {
            "content_sha256": [sha(n) for n in numbers],
            "status": [status] * len(numbers),
            "embedding": pa.array(vectors, pa.list_(pa.float32())),
        }
    )


def keys(numbers: list[int]) -> pa.Table:
    return pa.table(
        {
            "review_id": [f"r{row:06}" for row in range(len(numbers))],
            "content_sha256": [sha(n) for n in numbers],
            "status": ["ok"] * len(numbers),
        }
    )


def publish(storage: Storage, shelf: RowCache, wanted: pa.Table, run_key: str = "k" * 64) -> list[dict[str, object]]:
    snapshot = open_snapshot(storage, TABLE)
    ended = publish_days(
        storage, snapshot, lambda day, invalid: shelf.rows(day, wanted, run_key, invalid), {DAY: wanted}
    )[DAY]
    if isinstance(ended, CheckFailed):
        raise ended
    rows: list[dict[str, object]] = read_table(storage, TABLE, open_snapshot(storage, TABLE).of(DAY)).to_pylist()
    return rows


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture
def shelf(storage: Storage) -> RowCache:
    return RowCache(storage, TABLE, DAY, FINGERPRINT)


def test_rows_follow_their_keys_across_chunks_and_repeated_contents(storage: Storage, shelf: RowCache) -> None:
    distinct = list(range(SLICE + 100))
    for start in range(0, len(distinct), 700):
        shelf.add(chunk(distinct[start : start + 700]))
    numbers = [*distinct, 3, SLICE, 3]
    rows = publish(storage, shelf, keys(numbers))
    assert [row["embedding"][0] for row in rows] == [float(n) for n in numbers]  # type: ignore[index]
    assert {row["status"] for row in rows} == {"ok"}


def test_a_run_that_died_leaves_its_chunks_to_the_next_one(storage: Storage, shelf: RowCache) -> None:
    shelf.add(chunk([1, 2]))
    shelf.stage()
    (cut,) = storage.files(f"_staging/toy/{DAY}/{FINGERPRINT[:16]}")
    shelf.add(chunk([3]))
    shelf.stage()
    path = storage.root / cut
    path.write_bytes(path.read_bytes()[:-7])
    next_run = RowCache(storage, TABLE, DAY, FINGERPRINT)
    next_run.resume()
    assert sha(3) in next_run
    assert sha(1) not in next_run, "a cut off chunk is not believed"
    next_run.clear()
    assert not storage.files("_staging", recursive=True)


@pytest.mark.parametrize(("status", "kept"), [("undecodable", True), ("timeout", False), ("out_of_memory", False)])
def test_only_final_rows_of_the_same_fingerprint_are_taken_over(
    storage: Storage, shelf: RowCache, status: str, kept: bool
) -> None:
    shelf.add(chunk([1]))
    shelf.add(chunk([2], status))
    publish(storage, shelf, keys([1, 2]))
    files = open_snapshot(storage, TABLE).of(DAY)
    again = RowCache(storage, TABLE, DAY, FINGERPRINT)
    again.take_over(files)
    assert sha(1) in again
    assert (sha(2) in again) is kept
    other = RowCache(storage, TABLE, DAY, "0" * 64)
    other.take_over(files)
    assert sha(1) not in other


def test_a_few_bad_rows_become_invalid_and_the_day_is_published(storage: Storage, shelf: RowCache) -> None:
    shelf.add(chunk(list(range(40))))
    shelf.add(chunk([99], scale=float("nan")))
    rows = publish(storage, shelf, keys([*range(40), 99]))
    assert [row["status"] for row in rows] == ["ok"] * 40 + ["invalid"]
    assert rows[-1]["embedding"] is None


def test_too_many_bad_rows_publish_nothing_and_leave_the_day_and_no_orphans(storage: Storage, shelf: RowCache) -> None:
    shelf.add(chunk(list(range(10))))
    before = publish(storage, shelf, keys(list(range(10))))
    bad = RowCache(storage, TABLE, DAY, FINGERPRINT)
    bad.add(chunk(list(range(10)), scale=float("inf")))
    with pytest.raises(CheckFailed, match=r"9 of 10 rows failed|10 of 10 rows failed"):
        publish(storage, bad, keys(list(range(10))), run_key="b" * 64)
    snapshot = open_snapshot(storage, TABLE)
    assert read_table(storage, TABLE, snapshot.of(DAY)).to_pylist() == before
    assert {file.path for file in snapshot.files} == {p for p in storage.files("toy", recursive=True) if "part-" in p}


def test_a_run_that_is_killed_loses_a_second_of_work_at_most(
    storage: Storage, shelf: RowCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(chunk([1]))
    assert not storage.files("_staging", recursive=True), (
        "a file for each small chunk would cost more than computing it"
    )
    monkeypatch.setattr(row_cache, "HELD_SECONDS", 0.0)
    shelf.add(chunk([2]))
    next_run = RowCache(storage, TABLE, DAY, FINGERPRINT)
    assert next_run.resume() == 1
    assert [row["embedding"][0] for row in publish(storage, next_run, keys([2, 1]))] == [2.0, 1.0]  # type: ignore[index]


def test_a_run_that_ends_leaves_alone_what_others_have_staged(storage: Storage, shelf: RowCache) -> None:
    shelf.add(chunk([1]))
    shelf.stage()
    other = RowCache(storage, TABLE, DAY, FINGERPRINT)
    other.resume()
    other.add(chunk([2]))
    other.stage()
    shelf.add(chunk([3]))
    shelf.stage()
    other.clear()
    assert shelf.rows(DAY, keys([3]), "k" * 64).__next__().num_rows == 1
    with pytest.raises(ChunkGone, match="another run"):
        list(shelf.rows(DAY, keys([1, 3]), "k" * 64))
    shelf.clear()
    assert not list((storage.root / "_staging/toy").iterdir()), "nothing is left, not even a folder"


def test_what_dead_runs_staged_goes_in_the_end_whatever_code_made_it(
    storage: Storage, shelf: RowCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in (RowCache(storage, TABLE, DAY, "0" * 64), shelf):
        made.add(chunk([1]))
        made.stage()
    sweep(storage, TABLE, DAY)
    assert len(storage.files("_staging", recursive=True)) == 2, "it may be in use"
    monkeypatch.setattr(row_cache, "KEPT", -1.0)
    sweep(storage, TABLE, DAY)
    assert not list((storage.root / "_staging/toy").iterdir())
