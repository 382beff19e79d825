"""Whatever is done to a lake, readers get what a model of plain dicts says they get."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.counts import share, turns
from tests.oracle import source
from tests.oracle.lake import Both
from tests.oracle.model import FILES, ORDER, TEXTS, Record

DAYS = [source.FIRST.date() + timedelta(days=n) for n in range(-1, 5)]
MANY = 200


@st.composite
def few(draw: st.DrawFn) -> list[Record]:
    """Records chosen one by one, so that an example shrinks."""
    choose = lambda several: draw(st.sampled_from(several))  # noqa: E731
    return [source.record(choose, source.IDS) for _ in range(draw(st.integers(1, 4)))]


seeds = st.integers(0, 2**32)
days = st.sampled_from(DAYS)
some_days = st.one_of(st.none(), st.lists(days, min_size=1, max_size=3, unique=True))
extractors = st.lists(st.sampled_from([*TEXTS, *FILES]), unique=True).map(sorted)


class Readers(RuleBasedStateMachine):
    """The lake and its model, side by side."""

    most = MANY

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="oracle-"))
        self.next: set[date] = set()
        self.known: set[str] = set()

    @initialize(timezone=st.sampled_from(["UTC", "Asia/Vladivostok"]), seed=seeds, data=st.data(), names=extractors)
    def begin(self, timezone: str, seed: int, data: st.DataObject, names: list[str]) -> None:
        self.both = Both(self.folder, timezone)
        self.ingest_many(seed, data, False)
        self.run(names, False)

    @rule(given=few(), mode=st.sampled_from(["append", "snapshot"]), allow_empty=st.booleans())
    def ingest_few(self, given: list[Record], mode: str, allow_empty: bool) -> None:
        self._ingest(given, mode, allow_empty=allow_empty)

    @rule(seed=seeds, data=st.data(), snapshot=st.sampled_from([False, False, True]))
    def ingest_many(self, seed: int, data: st.DataObject, snapshot: bool) -> None:
        count = data.draw(st.sampled_from([1, 2, 5, 20, *[self.most] * 4]), label="count")
        given = source.records(seed, count, self.known)
        self._ingest(given, "snapshot" if snapshot else "append", allow_empty=True)

    def _ingest(self, given: Sequence[Record], mode: str, *, allow_empty: bool) -> None:
        self.known |= {record.review_id for record in given if not record.refused}
        self.next |= self.both.ingest(given, mode, allow_empty=allow_empty)

    @rule(names=extractors, hold_empty=st.sampled_from([False, False, True]))
    def run(self, names: list[str], hold_empty: bool) -> None:
        """What a run does after an ingest: all days that it told of."""
        for day in sorted(self.next):
            self.both.run(day, names, hold_empty=hold_empty, again=False)
        self.next.clear()

    @rule(day=days, names=extractors, hold_empty=st.booleans(), again=st.booleans())
    def backfill(self, day: date, names: list[str], hold_empty: bool, again: bool) -> None:
        self.both.run(day, names, hold_empty=hold_empty, again=again)

    @rule(day=days)
    def approve(self, day: date) -> None:
        self.both.approve(day)

    @rule(day=days)
    def rollback(self, day: date) -> None:
        self.both.rollback(day)

    @precondition(lambda self: self.known)
    @rule(number=st.integers(0, 10**6))
    def forget_review(self, number: int) -> None:
        self.both.forget(review=sorted(self.known)[number % len(self.known)])

    @rule(author=st.sampled_from([name for name in source.AUTHORS if name]))
    def forget_author(self, author: str) -> None:
        self.both.forget(author=author)

    @rule(newest=st.integers(1, 3))
    def maintain(self, newest: int) -> None:
        self.both.maintain(newest)

    @rule(
        names=st.lists(st.sampled_from(ORDER), min_size=1, max_size=4, unique=True),
        days=some_days,
        pool=st.sampled_from([None, "mean"]),
        number=st.one_of(st.none(), st.integers(0, 100)),
        suffix=st.sampled_from([".csv", ".parquet"]),
    )
    def read(self, names: list[str], days: list[date] | None, pool: Any, number: int | None, suffix: str) -> None:
        there = [name for name in names if name in self.both.tables()]
        if len(there) > 1:
            self.both.check_joined(there, days, pool, number)
        if there:
            self.both.check_export(there, days, suffix)
            self.both.check_table(there[0], days)
        self.both.check_explained(number or 0)

    @precondition(lambda self: hasattr(self, "both"))
    @invariant()
    def everything_equals_the_model(self) -> None:
        self.both.check()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


def test_readers_get_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if share():
        monkeypatch.setattr(Readers, "most", 1000)
    for turn in turns("random life of a lake, all that readers see compared after each step", 1, 300):
        run_state_machine_as_test(
            seed(turn)(Readers),
            settings=settings(
                max_examples=3,  # the first of them is always the simplest there is
                stateful_step_count=20 if share() else 6,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            ),
        )
