"""Which days need no run is told by the releases alone, and never of a day in which a run would do something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, RELEASES, REVIEWS
from otzyv.tasks.extractors import Card, Run, Weights, registry
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.delta.publish import commit
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.forget import forget
from otzyv.tasks.pipeline.inventory import Inventory
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.record import record
from otzyv.tasks.release import release
from tests.faults.days import toy
from tests.tasks.reviews import bring

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(3)]
KEY = "a" * 32


def run(lake: Lake) -> None:
    for day in DAYS:
        runs = [make(lake, CLEANING, day), make(lake, registry.get("text_toy"), day)]
        record.fn(lake.uri, runs)
        release.fn(lake.uri, [day], runs)[day]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setitem(REGISTERED, "text_toy", toy())
    made = Lake.create(tmp_path)
    bring(made, {day: {f"{day}/{n}": f"отзыв {n}" if n else None for n in range(4)} for day in DAYS})
    run(made)
    return made


def unchanged(lake: Lake) -> list[date]:
    there = Inventory(lake, ["text_toy"])
    return [day for day in DAYS if there.unchanged(day)]


def test_days_that_stand_are_told_without_opening_a_file_of_theirs(lake: Lake) -> None:
    for table in ("reviews", "clean_text", "text_toy", "quality"):
        for path in (Path(lake.uri) / table).rglob("*.parquet"):
            path.unlink()
    assert unchanged(lake) == DAYS
    (cleaned, toys) = Inventory(lake, ["text_toy"]).unchanged(DAYS[0])
    assert (cleaned.table, cleaned.status) == ("clean_text", {"empty": 1, "ok": 3})
    assert (toys.table, toys.rows) == ("text_toy", 4)


def edited(lake: Lake, _: pytest.MonkeyPatch) -> None:
    bring(lake, {DAYS[1]: {f"{DAYS[1]}/1": "иначе"}}, edited=1)


def rated(lake: Lake, _: pytest.MonkeyPatch) -> None:
    """The reviews' files are others, and their texts the same."""
    bring(lake, {DAYS[1]: {f"{DAYS[1]}/1": "отзыв 1"}}, edited=1)


def emptied(lake: Lake, _: pytest.MonkeyPatch) -> None:
    commit(lake.storage, lake.snapshot(REVIEWS), [DAYS[1]], [], allow_empty=True)


def unreleased(lake: Lake, _: pytest.MonkeyPatch) -> None:
    """A run that died before its release."""
    edited(lake, _)
    make(lake, CLEANING, DAYS[1])
    make(lake, registry.get("text_toy"), DAYS[1])


def made_alone(lake: Lake, _: pytest.MonkeyPatch) -> None:
    make(lake, registry.get("text_toy"), DAYS[1], again=True)


@pytest.mark.parametrize("change", [edited, rated, emptied, unreleased, made_alone])
def test_a_day_of_which_anything_is_otherwise_is_looked_into(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, change: Callable[[Lake, pytest.MonkeyPatch], None]
) -> None:
    change(lake, monkeypatch)
    assert unchanged(lake) == [DAYS[0], DAYS[2]]
    run(lake)
    assert unchanged(lake) == DAYS


def test_other_code_makes_every_day_work(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTERED, "text_toy", toy(2))
    assert unchanged(lake) == []
    run(lake)
    assert unchanged(lake) == DAYS


def test_another_table_makes_every_day_work(lake: Lake) -> None:
    assert not any(map(Inventory(lake, ["text_toy", "sentiment_mini"]).unchanged, DAYS))


def test_a_day_with_rows_of_a_passing_fault_is_tried_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(card: Card, weights: Weights | None) -> Run:
        def run(contents: Sequence[str]) -> np.ndarray:
            if "отзыв 1" in contents:
                raise MemoryError
            return np.zeros((len(contents), 2), np.float32)

        return run

    slow = Extractor(replace(toy().card, version=3), load)
    monkeypatch.setitem(REGISTERED, "text_toy", slow)
    run(lake)
    assert unchanged(lake) == []
    assert {each.verdict for day in DAYS for each in lake.history()[day]} == {"released"}


def test_a_day_that_lost_reviews_to_forgetting_stands_as_a_run_would_make_it(lake: Lake) -> None:
    forget(lake.uri, KEY, review=f"{DAYS[1]}/1")
    assert unchanged(lake) == DAYS
    assert [each.status for each in Inventory(lake, ["text_toy"]).unchanged(DAYS[1])] == [{"ok": 2, "empty": 1}] * 2
    before = lake.history()
    run(lake)
    assert lake.history() == before
    assert len(lake.frame([DAYS[1]], ["reviews", "text_toy"])) == 3


def test_a_rollback_and_a_held_day_wait_for_a_person(lake: Lake) -> None:
    edited(lake, pytest.MonkeyPatch())
    run(lake)
    releases.rollback(lake.storage, DAYS[1])
    assert unchanged(lake) == DAYS
    there = Inventory(lake, ["text_toy"])
    assert not any(map(there.held, DAYS))


def test_releases_of_a_former_otzyv_are_told_by_the_next_run_and_readers_see_no_change(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    bring(lake, {day: {f"{day}/1": "отзыв"} for day in DAYS})
    for day in DAYS:
        make(lake, CLEANING, day)
        release_day(lake.storage, day, [REVIEWS, ATTACHMENTS, CLEAN_TEXT])  # tells of nothing
    before = lake.frame(None, ["reviews", "clean_text"], "arrow")
    assert not any(map(Inventory(lake, []).unchanged, DAYS))
    for _ in range(2):
        verdicts = {release.fn(lake.uri, [day], [make(lake, CLEANING, day)])[day] for day in DAYS}
        assert verdicts == {"unchanged"}
    assert all(map(Inventory(lake, []).unchanged, DAYS))
    assert lake.frame(None, ["reviews", "clean_text"], "arrow").equals(before)
    assert lake.read(RELEASES).num_rows == 2 * len(DAYS)
