"""Where a feature comes from is told from the lake alone, and computing it again tells whether it still holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, QUARANTINE, REVIEWS, RUNS
from otzyv.tasks.extractors import Card, Run, Weights, registry
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.lake import NotReleased
from otzyv.tasks.lake.records.quarantine import quarantine
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.explain import _failed, compare, explain
from otzyv.tasks.pipeline.make import TableRun, make
from otzyv.tasks.record import record
from tests.faults.days import TOY, toy
from tests.flows.command import command
from tests.tasks.reviews import bring

DAY = date(2026, 3, 1)
TEXT = "Отличный курс, спасибо преподавателю"
NAMES = ("sentiment_mini", "text_navec")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {DAY: {"a": TEXT, "b": "Ужас", "c": None}})
    runs = [make(made, extractor, DAY) for extractor in (CLEANING, *map(registry.get, NAMES))]
    record.fn(made.uri, runs)
    tables = [registry.get(name).card.table for name in NAMES]
    release_day(made.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, *tables])
    return made


def test_each_feature_is_told_with_its_origin_and_comes_out_the_same(lake: Lake) -> None:
    said = explain(lake, "a", recompute=True)
    assert [feature.table for feature in said.features] == ["clean_text", *NAMES]
    known = {run["table"]: run for run in lake.read(RUNS).to_pylist()}
    for feature in said.features:
        assert feature.recomputed is not None
        assert feature.recomputed.outcome == "equal"
        assert feature.run is not None
        assert feature.run["run_id"] == known[feature.table]["run_id"]
        assert feature.made_of is not None
        assert feature.made_of["name"] == feature.table
        assert feature.table_version == 1
        assert "status label" in feature.checks
    assert TEXT.split()[0] not in json.dumps(asdict(said), default=str, ensure_ascii=False), "no word of the review"


def test_what_readers_see_is_explained_and_not_what_came_after(lake: Lake) -> None:
    before = explain(lake, "a")
    bring(lake, {DAY: {"a": "другое"}}, edited=1)
    for extractor in (CLEANING, *map(registry.get, NAMES)):
        make(lake, extractor, DAY)
    assert explain(lake, "a") == before
    again = [feature.recomputed for feature in explain(lake, "a", DAY, recompute=True).features]
    assert {each.outcome for each in again if each} == {"equal"}
    nothing = {feature.table: feature.recomputed for feature in explain(lake, "c", recompute=True).features}
    assert {each.outcome for each in nothing.values() if each} == {"equal"}
    with pytest.raises(LookupError, match="no review 'x'"):
        explain(lake, "x")
    with pytest.raises(NotReleased, match="2026-03-02"):
        explain(lake, "a", date(2026, 3, 2))


def test_other_code_is_told_and_another_result_is_beyond(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTERED, "text_toy", toy())
    make(lake, toy(), DAY)
    release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])

    def moved(by: float) -> Extractor:
        def load(card: Card, weights: Weights | None) -> Run:
            run = toy().load(card, weights)
            return lambda contents: np.asarray(run(contents)) + np.float32(by)

        return Extractor(toy().card, load)

    def again() -> str:
        (feature,) = (each for each in explain(lake, "b", recompute=True).features if each.table == "text_toy")
        assert feature.recomputed is not None
        return feature.recomputed.outcome

    for by, outcome in ((0.0, "equal"), (2e-6, "within"), (0.1, "beyond")):
        monkeypatch.setitem(REGISTERED, "text_toy", moved(by))
        assert again() == outcome
    monkeypatch.setitem(REGISTERED, "text_toy", toy(2))
    assert again() == "not compared"


@pytest.mark.parametrize("days", [(1, 2, 3), (3, 2, 1)])
def test_the_check_that_a_row_failed_last_is_told(lake: Lake, days: tuple[int, ...]) -> None:
    """In whatever order the files of a table are listed."""
    for day in days:
        said = {"source": "text_toy/a", "offset": 0, "rule": "row_check", "reason": f"row failed check {day}"}
        row = dict.fromkeys(QUARANTINE.names) | said | {"raw": b"", "raw_sha256": f"{day}", "day": date(2026, 3, day)}
        quarantine(lake.storage, pa.Table.from_pylist([row], QUARANTINE.arrow))
    assert _failed(lake, "text_toy", ["a"]) == "row failed check 3"
    assert _failed(lake, "text_toy", ["b"]) is None


def test_statuses_and_lengths_are_compared_exactly() -> None:
    card = toy().card
    good = {"status": "ok", "embedding": [1.0, 2.0]}
    assert compare(card, good, good).outcome == "equal"
    assert compare(card, good, {**good, "status": "empty"}).why == "status ok, now empty"
    assert compare(card, good, {**good, "embedding": [1.0]}).outcome == "beyond"
    assert compare(card, good, {**good, "embedding": None}).outcome == "beyond"


def test_a_table_that_failed_last_is_told_with_its_error_whether_or_not_the_day_is_released(lake: Lake) -> None:
    other = date(2026, 3, 2)
    bring(lake, {other: {"late": TEXT}})
    for day in (DAY, other):
        failed = TableRun("text_navec", day, "failed", datetime.now(UTC), error="MissingWeights: no file")
        record.fn(lake.uri, [failed])
    said = explain(lake, "a")
    assert said.failed == {"text_navec": "MissingWeights: no file"}
    assert {feature.table for feature in said.features} == {"clean_text", *NAMES}, "as readers see them"
    with pytest.raises(
        NotReleased, match=r"no release of 2026-03-02; text_navec failed: MissingWeights: no file; `otzyv"
    ):
        explain(lake, "late")
    shown = command("explain", "a", "--lake", lake.uri).stdout
    assert "text_navec: failed (MissingWeights: no file); readers see what was there before" in shown
    record.fn(lake.uri, [TableRun("text_navec", DAY, "superseded", datetime.now(UTC))])
    assert explain(lake, "a").failed == {}
