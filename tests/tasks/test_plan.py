"""The plan says what a run then does, no more and no less, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors import registry
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import TableRun, failed, make_days
from otzyv.tasks.plan import Plan, passes
from otzyv.tasks.plan import plan as plan_task
from otzyv.tasks.record import record
from otzyv.tasks.release import Verdict, release
from tests.faults.counts import times
from tests.tasks.reviews import bring

FIRST = date(2026, 3, 1)
NAMES = ("sentiment_mini", "text_navec", "image_layout")
plan = plan_task.fn


def features(lake: Lake, *days: date) -> tuple[list[TableRun], dict[date, Verdict]]:
    """What ``flows.features`` does with a span of days, without Prefect around it."""
    runs = [run for extractor in (CLEANING, *map(registry.get, NAMES)) for run in _made(lake, extractor, days)]
    record.fn(lake.uri, runs)
    return runs, release.fn(lake.uri, days, runs)


def _made(lake: Lake, extractor: Extractor, days: Sequence[date]) -> Iterator[TableRun]:
    name = extractor.card.name
    try:
        ended = make_days(lake, extractor, days)
    except ValueError as error:
        ended = [failed(name, day, error) for day in days]
    yield from (
        run if isinstance(run, TableRun) else failed(name, day, run) for day, run in zip(days, ended, strict=True)
    )


texts = st.none() | st.sampled_from(["Отличный курс!", "Ужас.", "Курс как курс", "<b>Ужас</b>."])
edits = st.dictionaries(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), texts, max_size=5)

MOVED: list[dict[tuple[str, int], str | None]] = [
    {("b", 2): "Курс как курс", ("a", 0): None},
    {("b", 0): "Отличный курс!", ("d", 2): "Отличный курс!"},
]
"""The later day, which is made first, then holds what a review that moved away from it needs."""


def files(lake: Lake) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(lake.uri).rglob("*") if path.is_file()}


@settings(max_examples=times(2, 40), deadline=None, phases=[Phase.explicit, Phase.generate])
@example(rounds=MOVED, seconds=0)
@example(rounds=MOVED, seconds=60)
@given(rounds=st.lists(edits, min_size=1, max_size=3), seconds=st.sampled_from([0, 60]))
def test_a_run_does_exactly_what_the_plan_says(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[dict[tuple[str, int], str | None]], seconds: int
) -> None:
    """Be days made one by one or all in one pass."""
    lake = Lake.create(tmp_path_factory.mktemp("lake"))
    for number, found in enumerate(rounds):
        for (review_id, place), text in found.items():
            bring(lake, {FIRST + timedelta(days=place): {review_id: text}}, edited=number)
        planned = plan(lake.uri, NAMES, span_seconds=seconds)
        if seconds:
            assert len({day.span for day in planned.work}) <= 1
        else:
            assert len({day.span for day in planned.work}) == len(planned.work)
        for days, _ in passes(planned.days):
            ran, verdicts = features(lake, *days)
            done = sorted((r.table, r.day, r.computed, r.reused, r.state != "unchanged", r.run_key) for r in ran)
            chosen = [day for day in planned.days if day.day in days]
            told = [(t.table, t.day, t.computed, t.reused, bool(t.why), t.run_key) for d in chosen for t in d.tables]
            assert done == sorted(told)
            assert {day for day in days if verdicts[day] != "unchanged"} == {day.day for day in chosen if day.work}
        before = files(lake)
        assert plan(lake.uri, NAMES).work == ()
        assert files(lake) == before


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {FIRST: {"a": "отлично", "b": "ужасно"}, FIRST + timedelta(days=1): {"c": "так себе"}})
    for day in (FIRST, FIRST + timedelta(days=1)):
        features(made, day)
    return made


def only(planned: Plan, table: str, day: date = FIRST) -> tuple[int, int, int, int, tuple[str, ...]]:
    (found,) = (t for d in planned.days for t in d.tables if (t.table, d.day) == (table, day))
    return found.new, found.changed, found.reused, found.gone, found.why


def test_new_edited_and_moved_reviews_are_told_apart(lake: Lake) -> None:
    bring(lake, {FIRST: {"a": "плохо", "d": "новый"}, FIRST + timedelta(days=1): {"b": "ужасно"}}, edited=1)
    planned = plan(lake.uri, NAMES)
    assert only(planned, "text_navec") == (1, 1, 0, 1, ("content",))
    assert only(planned, "text_navec", FIRST + timedelta(days=1)) == (0, 0, 2, 0, ("content",))
    assert [day.day for day in planned.days] == [FIRST + timedelta(days=1), FIRST]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"version": 99}, "code"), ({"settings": (("smoothing", 1.0),)}, "settings"), ({"limit": 7}, "settings")],
)
def test_the_plan_tells_why_a_table_is_stale(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], why: str
) -> None:
    known = registry.get("text_navec")
    other = Extractor(replace(known.card, **change), known.load)  # type: ignore[arg-type]
    monkeypatch.setitem(REGISTERED, "text_navec", other)
    planned = plan(lake.uri, NAMES)
    assert only(planned, "text_navec") == (0, 2, 0, 0, (why,))
    assert only(planned, "sentiment_mini") == (0, 0, 2, 0, ())


def test_all_again_and_failed_only_are_as_they_say(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(plan(lake.uri, NAMES, what="again"), "text_navec") == (0, 2, 0, 0, ("asked for",))
    assert plan(lake.uri, NAMES, what="failed").days == ()
    known = registry.get("text_navec")

    def broken(*_: object) -> Iterator[object]:
        raise ValueError("broken")

    monkeypatch.setitem(
        REGISTERED,
        "text_navec",
        Extractor(replace(known.card, version=9), broken),  # type: ignore[arg-type]
    )
    assert features(lake, FIRST)[1] == {FIRST: "not released"}
    planned = plan(lake.uri, NAMES, what="failed")
    assert [day.day for day in planned.days] == [FIRST]
    assert only(planned, "text_navec") == (0, 2, 0, 0, ("code",))


def test_seconds_are_those_of_earlier_runs_and_unknown_is_said_as_unknown(lake: Lake) -> None:
    third = FIRST + timedelta(days=2)
    bring(lake, {third: {"e": "один", "f": "два"}})
    planned = plan(lake.uri, NAMES, [third])
    (day,) = planned.days
    known = {table.table: table.seconds for table in day.tables}
    assert known["text_navec"]
    fresh = plan(lake.uri, ["text_rubert_tiny2"], [third]).days[0].tables[1]
    assert (fresh.new, fresh.seconds, fresh.money) == (2, None, 0.0)
