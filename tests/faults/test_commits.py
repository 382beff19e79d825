"""A lost answer is no failure and leads to no second write; a failure is one, and leaves all as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import commit
from otzyv.tasks.lake.delta.snapshot import DataFile, open_snapshot, read_table
from tests.faults.counts import detail, turns
from tests.faults.days import DAYS, TABLES, bring_and_make, check_done, check_whole, expected, published
from tests.tasks.lake.test_publish import DAY, ids, staged, wanted

Commit = Callable[[], None]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Commit], None]], None]:
    """Puts a fault around every commit that deltalake is asked for: it is given the commit as a function."""
    real = DeltaTable.create_write_transaction

    def put(fault: Callable[[Commit], None]) -> None:
        def wrapped(handle: DeltaTable, *given: Any, **named: Any) -> None:
            fault(lambda: real(handle, *given, **named))

        monkeypatch.setattr(DeltaTable, "create_write_transaction", wrapped)

    return put


def lose_answer(commit: Commit) -> None:
    commit()
    raise OSError("connection reset after the commit was written")


def versions(lake: Lake) -> list[int]:
    return [lake.snapshot(table).version for table in TABLES]


def test_with_every_answer_lost_a_run_ends_well_and_writes_nothing_twice(
    tmp_path: Path, faulty: Callable[[Callable[[Commit], None]], None]
) -> None:
    good, lossy, lost = str(tmp_path / "good"), str(tmp_path / "lossy"), 0

    def lose(commit: Commit) -> None:
        nonlocal lost
        lost += 1
        lose_answer(commit)

    for turn in turns("every commit's answer lost", 1, 100):
        faulty(lambda commit: commit())
        bring_and_make(good, turn)
        faulty(lose)
        runs = bring_and_make(lossy, turn)
        detail(f"runs; {lost} answers")
        assert "failed" not in {run.state for run in runs}
        assert published(Lake(lossy)) == published(Lake(good)) == expected(turn)
        assert versions(Lake(lossy)) == versions(Lake(good))
    assert lost
    faulty(lambda commit: commit())
    check_done(Lake(lossy), turn)


def test_a_commit_that_fails_raises_and_the_next_run_converges(
    tmp_path: Path, faulty: Callable[[Callable[[Commit], None]], None]
) -> None:
    bring_and_make(str(tmp_path), 0)
    lake = Lake(tmp_path)
    for fault in turns("commit fails", 3, 100):
        turn = fault + 1
        left = 1 + turn % 7

        def fail(commit: Commit) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise OSError("no space left on device")
            commit()

        faulty(fail)
        with pytest.raises(OSError, match="no space"):
            bring_and_make(lake.uri, turn)
        check_whole(lake, range(turn + 1))
    faulty(lambda commit: commit())
    bring_and_make(lake.uri, turn)
    check_done(lake, turn)


def test_a_lost_answer_is_the_truth_even_where_another_writer_was_there_before_it_was_looked_for(
    tmp_path: Path, faulty: Callable[[Callable[[Commit], None]], None]
) -> None:
    lake = Lake.create(tmp_path)
    mine, theirs = staged(lake.storage, 1), staged(lake.storage, 2)

    def overtaken(commit_mine: Commit) -> None:
        commit_mine()
        faulty(lambda commit: commit())
        assert commit(lake.storage, open_snapshot(lake.storage, CLEAN_TEXT), [DAY], theirs) == "published"
        raise OSError("connection reset after the commit was written")

    faulty(overtaken)
    assert commit(lake.storage, open_snapshot(lake.storage, CLEAN_TEXT), [DAY], mine) == "published"
    assert ids(lake.storage) == wanted(2)
    assert rows_of(lake, mine) == wanted(1), "a release made in between may name the file"


def test_a_day_that_another_writer_filled_is_not_taken_for_emptied(
    tmp_path: Path, faulty: Callable[[Callable[[Commit], None]], None]
) -> None:
    lake = Lake.create(tmp_path)
    commit(lake.storage, open_snapshot(lake.storage, CLEAN_TEXT), [DAY], staged(lake.storage, 1))
    old = open_snapshot(lake.storage, CLEAN_TEXT)
    commit(lake.storage, open_snapshot(lake.storage, CLEAN_TEXT), [DAY], staged(lake.storage, 2))
    assert commit(lake.storage, old, [DAY], [], allow_empty=True) == "superseded"
    assert ids(lake.storage) == wanted(2)


def rows_of(lake: Lake, files: list[DataFile]) -> list[str]:
    return sorted(read_table(lake.storage, CLEAN_TEXT, files, ["review_id"])["review_id"].to_pylist())


def test_reading_makes_no_table(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    assert not lake.read(CLEAN_TEXT, DAYS[0]).num_rows
    assert lake.releases() == {}
    assert lake.tables() == ()
