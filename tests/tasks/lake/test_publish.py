"""A day is published whole or not at all, whatever else happens at the same time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from otzyv.schemas.sample import sample
from otzyv.schemas.table import Table
from otzyv.schemas.tables import CLEAN_TEXT, RUNS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta import snapshot as snapshots
from otzyv.tasks.lake.delta.publish import EmptyDay, append, commit, write_entry, write_file
from otzyv.tasks.lake.delta.snapshot import (
    CorruptFile,
    DataFile,
    Snapshot,
    TornLog,
    open_delta,
    open_snapshot,
    read_table,
)
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.upkeep.erase import shorten_log

DAY = date(2026, 3, 1)


def rows(seed: int, count: int = 8, day: date = DAY, table: Table = CLEAN_TEXT) -> pa.Table:
    made = sample(table, count, seed)
    return made.set_column(
        made.column_names.index("day"), table.arrow.field("day"), pa.array([day] * count, pa.date32())
    )


def staged(storage: Storage, seed: int, day: date = DAY) -> list[DataFile]:
    file = write_file(storage, CLEAN_TEXT, day, rows(seed, day=day))
    assert file is not None
    return [file]


def ids(storage: Storage, day: date = DAY) -> list[str]:
    snapshot = open_snapshot(storage, CLEAN_TEXT)
    return sorted(read_table(storage, CLEAN_TEXT, snapshot.of(day), ["review_id"])["review_id"].to_pylist())


def wanted(seed: int) -> list[str]:
    return sorted(rows(seed)["review_id"].to_pylist())


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "lake")


def test_a_published_day_is_read_back_and_other_delta_readers_see_the_same(storage: Storage) -> None:
    assert commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1)) == "published"
    snapshot = open_snapshot(storage, CLEAN_TEXT)
    read = read_table(storage, CLEAN_TEXT, snapshot.of(DAY))
    assert read.equals(rows(1))
    other = pa.table(DeltaTable(storage.at("clean_text")).to_pyarrow_dataset().to_table())
    assert other.sort_by("review_id").to_pylist() == read.sort_by("review_id").to_pylist()
    assert {field.name: field.type for field in other.schema} == {f.name: f.type for f in CLEAN_TEXT.arrow}
    frame = DeltaTable(storage.at("clean_text")).to_pandas().sort_values("review_id")
    assert list(frame["review_id"]) == sorted(read["review_id"].to_pylist())


def test_the_run_key_is_known_without_opening_data(storage: Storage) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    snapshot = open_snapshot(storage, CLEAN_TEXT)
    (key,) = set(rows(1)["run_key"].to_pylist())
    for file in snapshot.files:
        (storage.root / file.path).unlink()
    assert snapshot.holds(DAY, key)
    assert not snapshot.holds(DAY, "0" * 64)
    assert not snapshot.holds(DAY + timedelta(1), key)


def test_no_personal_value_stands_in_the_log(storage: Storage) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    log = "\n".join(path.read_text() for path in (storage.root / "clean_text/_delta_log").glob("*.json"))
    for line in log.splitlines():
        stats = json.loads(json.loads(line).get("add", {}).get("stats", "{}"))
        assert set(stats.get("minValues", {})) <= {"run_key", "fingerprint"}
    assert not any(text in log for text in rows(1)["text"].to_pylist() if text)


def test_a_slow_old_writer_cannot_replace_a_newer_day(storage: Storage) -> None:
    old = open_snapshot(storage, CLEAN_TEXT)
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 2))
    late = staged(storage, 1)
    assert commit(storage, old, [DAY], late) == "superseded"
    assert ids(storage) == wanted(2)
    assert not storage.exists(late[0].path), "what was superseded leaves no orphan"


def test_writers_of_different_days_do_not_disturb_one_another(storage: Storage) -> None:
    days = [DAY + timedelta(n) for n in range(6)]
    old = open_snapshot(storage, CLEAN_TEXT)
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda day: commit(storage, old, [day], staged(storage, day.day, day)), days))
    assert outcomes == ["published"] * 6
    assert [len(ids(storage, day)) for day in days] == [8] * 6


@pytest.mark.parametrize("first", [True, False], ids=["empty day", "standing day"])
def test_of_racing_writers_of_a_day_exactly_one_wins(storage: Storage, first: bool) -> None:
    for race in range(15):
        day = DAY + timedelta(race)
        if not first:
            commit(storage, open_snapshot(storage, CLEAN_TEXT), [day], staged(storage, 9, day))
        snapshot = open_snapshot(storage, CLEAN_TEXT)
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(
                pool.map(lambda seed, s=snapshot, d=day: commit(storage, s, [d], staged(storage, seed, d)), range(1, 5))
            )
        assert sorted(outcomes) == ["published", *["superseded"] * 3]
        assert ids(storage, day) == wanted(1 + outcomes.index("published"))


def lose_answer(storage: Storage, snapshot: Snapshot, removed: Any, files: Any, name: str) -> None:
    write_entry(storage, snapshot, removed, files, name)
    raise OSError("connection reset after the commit was written")


def fail_before(storage: Storage, snapshot: Snapshot, removed: Any, files: Any, name: str) -> None:
    raise OSError("no space left on device")


def test_a_lost_answer_is_not_taken_for_a_failure(storage: Storage) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    standing = open_snapshot(storage, CLEAN_TEXT)
    assert commit(storage, standing, [DAY], staged(storage, 2), write=lose_answer) == "published"
    assert ids(storage) == wanted(2)
    assert open_snapshot(storage, CLEAN_TEXT).version == 2, "no second write"


def test_a_true_failure_raises_and_leaves_the_day_as_it_was(storage: Storage) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    with pytest.raises(OSError, match="no space"):
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 2), write=fail_before)
    assert ids(storage) == wanted(1)
    assert commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 2)) == "published"


def test_zero_rows_do_not_empty_a_day_unless_it_is_meant(storage: Storage) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    with pytest.raises(EmptyDay, match="2026-03-01"):
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], [])
    assert ids(storage) == wanted(1)
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], [], allow_empty=True)
    assert ids(storage) == []


@pytest.mark.parametrize("torn", [b"", b'{"commitInfo":{"timest'], ids=["empty", "cut off"])
def test_a_torn_log_is_found_before_rows_go_missing(storage: Storage, torn: bytes) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    newest = storage.root / f"clean_text/_delta_log/{1:020}.json"
    newest.write_bytes(torn)
    with pytest.raises(TornLog, match="clean_text"):
        open_snapshot(storage, CLEAN_TEXT)


def commit_elsewhere(storage: Storage, seed: int) -> None:
    """Another process makes these rows the day's."""
    script = f"""if True:
        from tests.tasks.lake.test_publish import *
        storage = Storage({storage.uri!r})
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, {seed}))"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_log_is_read_once_and_every_change_of_it_is_seen(storage: Storage, tmp_path: Path) -> None:
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    shutil.copytree(tmp_path / "lake", tmp_path / "as it was")
    commit_elsewhere(storage, 2)
    with patch.object(snapshots, "DeltaTable", wraps=DeltaTable) as opened:
        assert ids(storage) == ids(Storage(tmp_path / "lake")) == wanted(2)
    assert opened.call_count == 1

    log = storage.sizes("clean_text/_delta_log")
    shutil.rmtree(tmp_path / "lake")
    shutil.copytree(tmp_path / "as it was", tmp_path / "lake")
    commit_elsewhere(storage, 3)
    assert storage.sizes("clean_text/_delta_log") == log
    assert ids(storage) == wanted(3), "a lake restored from a copy, and then another second version, as large"

    newest = storage.root / f"clean_text/_delta_log/{2:020}.json"
    whole = newest.read_bytes()
    newest.write_bytes(b"")
    with pytest.raises(TornLog):
        ids(storage)
    newest.unlink()
    assert ids(storage) == wanted(1), "a torn entry taken away"
    newest.write_bytes(whole)
    assert ids(storage) == wanted(3), "and the whole one put back"


OPENINGS: dict[str, Callable[[Storage, Snapshot], Any]] = {
    "its files": lambda storage, snapshot: open_snapshot(storage, snapshot.table),
    "for a commit": lambda storage, snapshot: open_delta(storage, snapshot).version(),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_a_log_that_is_shortened_while_it_is_read_is_read_again(
    storage: Storage, opening: Callable[[Storage, Snapshot], Any]
) -> None:
    lake = Lake.create(storage.uri)
    for seed in (1, 2):
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, seed))
    snapshot = open_snapshot(storage, CLEAN_TEXT)
    before = opening(storage, snapshot)

    def shortened(*arguments: Any, **named: Any) -> Any:
        opened.side_effect = None
        shorten_log(lake, CLEAN_TEXT)
        raise DeltaError("an entry is not there")

    snapshots._STATES.clear()
    opened = Mock(wraps=DeltaTable, side_effect=shortened)
    with patch.object(snapshots, "DeltaTable", opened):
        assert opening(storage, snapshot) == before
    assert opened.call_count > 1


def test_what_others_commit_right_after_is_not_taken_for_ones_own(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_day, sync = DAY + timedelta(days=1), Storage.sync

    def slowly(storage: Storage, path: str) -> None:
        monkeypatch.setattr(Storage, "sync", sync)
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [next_day], staged(storage, 2, next_day))

    monkeypatch.setattr(Storage, "sync", slowly)
    commit(storage, open_snapshot(storage, CLEAN_TEXT), [DAY], staged(storage, 1))
    assert ids(storage) == wanted(1)
    assert open_snapshot(storage, CLEAN_TEXT).days == (DAY, next_day)


def test_what_a_process_knows_of_its_commits_is_what_their_log_tells(storage: Storage) -> None:
    for seed, day in enumerate([DAY, DAY + timedelta(days=1), DAY, DAY + timedelta(days=2), DAY], 1):
        commit(storage, open_snapshot(storage, CLEAN_TEXT), [day], staged(storage, seed, day))
        append(storage, RUNS, sample(RUNS, 3, seed))
        for table, files in ((CLEAN_TEXT, (1, 2, 2, 3, 3)[seed - 1]), (RUNS, seed)):
            with patch.object(snapshots, "DeltaTable", side_effect=AssertionError("the log was read")):
                known = open_snapshot(storage, table)
            snapshots._STATES.pop((storage.uri, table.name))
            told = open_snapshot(storage, table)
            assert (known.version, set(known.files), len(known.files)) == (told.version, set(told.files), files)


def test_flipped_bits_in_a_data_file_are_never_read_as_data(storage: Storage) -> None:
    (file,) = staged(storage, 1)
    path = storage.root / file.path
    whole = path.read_bytes()
    good = read_table(storage, CLEAN_TEXT, [file])
    unseen = 0
    for flip in range(0, len(whole) * 8, max(1, len(whole) * 8 // 400)):
        broken = bytearray(whole)
        broken[flip // 8] ^= 1 << flip % 8
        path.write_bytes(broken)
        try:
            unseen += not read_table(storage, CLEAN_TEXT, [file]).equals(good)
        except CorruptFile:
            continue
    assert unseen == 0


def test_a_missing_file_is_named(storage: Storage) -> None:
    (file,) = staged(storage, 1)
    (storage.root / file.path).unlink()
    with pytest.raises(
        CorruptFile, match=r"part-.*parquet: No such file or directory; `otzyv features .* and `otzyv doctor"
    ):
        read_table(storage, CLEAN_TEXT, [file])


def test_after_many_commits_a_table_is_opened_from_a_checkpoint(storage: Storage) -> None:
    for number in range(103):
        append(storage, RUNS, sample(RUNS, 1, number))
    log = storage.sizes("runs/_delta_log")
    (checkpoint,) = (path for path in log if path.endswith(".checkpoint.parquet"))
    for path in log:
        if path.endswith(".json") and path < checkpoint:
            (storage.root / path).unlink()  # as deltalake itself does after a month
    snapshot = open_snapshot(storage, RUNS)
    assert (snapshot.version, read_table(storage, RUNS, snapshot.files).num_rows) == (103, 103)
    append(storage, RUNS, sample(RUNS, 1, 103))
    assert len(open_snapshot(storage, RUNS).files) == 104
