"""Days made in one pass are the days made one by one: the same rows, at the cost of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from otzyv.schemas import checks
from otzyv.schemas.tables import QUALITY, RELEASES, RUNS
from otzyv.tasks.extractors import Card, Run, Weights
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta import day
from otzyv.tasks.lake.delta.day import CheckFailed
from otzyv.tasks.pipeline import make
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import TableRun, make_days
from otzyv.tasks.pipeline.spans import SPAN_ROWS, cut
from otzyv.tasks.record import record
from otzyv.tasks.release import release
from tests.faults.counts import times
from tests.faults.days import toy
from tests.tasks.reviews import bring

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(5)]
TOY = toy().card.table
MAKING: Any = make
"""The module, of which functions are listened to."""


def run(lake: Lake, days: Sequence[date]) -> list[TableRun]:
    """What ``flows.features`` does with a span of days that all go well."""
    runs = [each for extractor in (CLEANING, toy()) for each in make_days(lake, extractor, days)]
    well = [each for each in runs if isinstance(each, TableRun)]
    assert well == runs
    record.fn(lake.uri, well)
    release.fn(lake.uri, days, well)
    return well


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTERED, "text_toy", toy())


texts = st.none() | st.sampled_from(["отлично", "ужасно", "так себе", " ", "<b>отлично</b>"])
edits = st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.integers(0, 4)), texts, max_size=8)
MOVED: list[dict[tuple[str, int], str | None]] = [
    {("a", 0): "отлично", ("b", 0): "ужасно", ("c", 1): "отлично", ("d", 3): None},
    {("a", 2): "ужасно", ("b", 0): "так себе", ("d", 3): " "},
    {("c", 1): None, ("a", 0): "отлично", ("e", 4): "<b>отлично</b>"},
]


@settings(max_examples=times(2, 40), deadline=None, phases=[Phase.explicit, Phase.generate])
@example(rounds=MOVED)
@given(rounds=st.lists(edits, min_size=1, max_size=4))
def test_a_lake_made_in_passes_is_the_lake_made_day_by_day(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[dict[tuple[str, int], str | None]]
) -> None:
    """Reviews come, are edited, move and lose their texts; which days are made together is of no account."""
    lakes = [Lake.create(tmp_path_factory.mktemp(name)) for name in ("passes", "days")]
    for number, found in enumerate(rounds):
        for lake, spans in zip(
            lakes, (cut(DAYS, lambda _: 1, lambda _: 1, most=number + 2), [[d] for d in DAYS]), strict=True
        ):
            for (review_id, place), text in found.items():
                bring(lake, {DAYS[place]: {review_id: text}}, edited=number)
            for span in spans:
                run(lake, span)
        together, apart = (_read(lake) for lake in lakes)
        assert together == apart
        assert list(lakes[0].releases()) == list(lakes[1].releases())


def _read(lake: Lake) -> list[dict[str, object]]:
    """What readers see, and what was measured of it."""
    seen = lake.frame(None, ["reviews", "clean_text", "text_toy"], "arrow") if lake.releases() else pa.table({})
    assert isinstance(seen, pa.Table)
    order = [(name, "ascending") for name in ("day", "table", "metric")]
    rows: list[dict[str, object]] = [*seen.to_pylist(), *lake.read(QUALITY).sort_by(order).to_pylist()]
    return rows


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {each: {f"{each}/{n}": f"отзыв {n}" for n in range(6)} for each in DAYS})
    return made


def test_a_pass_reads_a_content_once_checks_once_and_commits_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str]] = []
    checked: list[str] = []
    extract, check = MAKING.extract, checks.check

    def reading(extractor, weights, contents, **options):  # type: ignore[no-untyped-def]
        contents = list(contents)
        read.extend((extractor.card.name, content.sha256) for content in contents)
        return extract(extractor, weights, contents, **options)

    def checking(table, *args, **options):  # type: ignore[no-untyped-def]
        checked.append(table.name)
        return check(table, *args, **options)

    monkeypatch.setattr(MAKING, "extract", reading)
    monkeypatch.setattr(day, "check", checking)
    runs = run(lake, DAYS)
    assert sum(each.computed for each in runs) == 2 * 5 * 6, "rows whose content was computed now"
    assert len(read) == len({*read}) == 2 * 6, "the same six texts stand on five days"
    assert checked == ["clean_text", "text_toy"]
    versions = {
        table.name: lake.snapshot(table).version for table in (CLEANING.card.table, TOY, QUALITY, RUNS, RELEASES)
    }
    assert versions == dict.fromkeys(versions, 1)
    assert len(lake.releases()) == 5
    assert {len(lake.snapshot(TOY).of(each)) for each in DAYS} == {1}


def test_a_day_that_fails_its_checks_is_left_out_of_the_commit(lake: Lake) -> None:
    bring(lake, {DAYS[2]: {f"{DAYS[2]}/{n}": "сломано" for n in range(6)}}, edited=1)
    make_days(lake, CLEANING, DAYS)
    ended = make_days(lake, _broken("сломано"), DAYS)
    assert [type(each) for each in ended] == [TableRun, TableRun, CheckFailed, TableRun, TableRun]
    assert "2026-03-03: 6 of 6 rows failed (embedding.unit), more than 5%" in str(ended[2])
    assert lake.snapshot(TOY).days == (DAYS[0], DAYS[1], DAYS[3], DAYS[4])
    assert lake.snapshot(TOY).version == 1


def test_few_rows_that_fail_are_marked_in_their_day_alone(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    bring(lake, {each: {f"{each}/{n}": f"отзыв {n}" for n in range(40)} for each in DAYS[:3]})
    bring(lake, {DAYS[1]: {f"{DAYS[1]}/7": "сломано"}}, edited=1)
    make_days(lake, CLEANING, DAYS[:3])
    ended = make_days(lake, _broken("сломано"), DAYS[:3])
    assert [(each.invalid, each.rows) for each in ended if isinstance(each, TableRun)] == [(0, 40), (1, 40), (0, 40)]
    rows = lake.read(TOY)
    assert rows.filter(pa.compute.equal(rows["status"], "invalid"))["review_id"].to_pylist() == [f"{DAYS[1]}/7"]
    assert lake.snapshot(TOY).version == 1


def _broken(text: str) -> Extractor:
    """Gives a vector that is too long for one text."""

    def load(card: Card, weights: Weights | None) -> Run:
        def run(contents: Sequence[str]) -> np.ndarray:
            return np.array([[2.0 if each == text else 1.0, 0.0] for each in contents], np.float32)

        return run

    return Extractor(replace(toy().card, version=7, unit=True), load)


def test_a_content_on_which_an_extractor_fails_stops_its_own_day_alone(lake: Lake) -> None:
    bring(lake, {DAYS[3]: {f"{DAYS[3]}/0": "беда"}}, edited=1)

    def load(card: Card, weights: Weights | None) -> Run:
        def run(contents: Sequence[str]) -> np.ndarray:
            if "беда" in contents:
                raise ValueError("no")
            return np.ones((len(contents), 2), np.float32)

        return run

    make_days(lake, CLEANING, DAYS)
    ended = make_days(lake, Extractor(replace(toy().card, version=8), load), DAYS)
    assert [isinstance(each, TableRun) for each in ended] == [True, True, True, False, True]
    assert lake.snapshot(TOY).days == (*DAYS[:3], DAYS[4])


def test_a_day_that_another_run_publishes_meanwhile_is_decided_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_days(lake, CLEANING, DAYS)
    publish = MAKING.publish_days

    def meanwhile(*args, **options):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(MAKING, "publish_days", publish)
        make_days(lake, toy(2), [DAYS[1]])
        return publish(*args, **options)

    monkeypatch.setattr(MAKING, "publish_days", meanwhile)
    ended = make_days(lake, toy(), DAYS)
    states = [each.state for each in ended if isinstance(each, TableRun)]
    assert states == ["published", "superseded", "published", "published", "published"]
    assert {tuple(each) for each in lake.read(TOY, DAYS[1])["embedding"].to_pylist()} == {(7.0, 2.0)}
    assert {tuple(each) for each in lake.read(TOY, DAYS[2])["embedding"].to_pylist()} == {(7.0, 1.0)}


def test_spans_are_of_bounded_work_and_rows_and_keep_their_order() -> None:
    spans = cut(DAYS, lambda each: 25.0, lambda _: 1)
    assert spans == [DAYS[:2], DAYS[2:4], DAYS[4:]]
    assert cut(DAYS, lambda _: 0.1, lambda _: SPAN_ROWS // 2) == [DAYS[:2], DAYS[2:4], DAYS[4:]]
    assert cut(DAYS[::-1], lambda _: 1e6, lambda _: 10**9) == [[each] for each in DAYS[::-1]]
    assert cut([], lambda _: 1, lambda _: 1) == []
    assert cut(DAYS, lambda _: 0, lambda _: 0) == [DAYS]
