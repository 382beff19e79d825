"""A day of a feature table: what stands is kept, what failed in passing is tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.table import Column
from otzyv.tasks.extractors import Card, Extractor, Run, Weights
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.day import CheckFailed
from otzyv.tasks.lake.features.artefacts import identity_path
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from tests.tasks.reviews import bring

DAY = date(2026, 3, 1)
CARD = Card(
    name="text_toy", version=1, modality="plain", doc="lengths", licence="none", source="a test", dim=2, batch_rows=1
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {DAY: {"a": "отлично", "b": "ужасно", "c": None}})
    make(made, CLEANING, DAY)
    return made


def toy(without_memory_for: str = "", calls: list[int] | None = None) -> Extractor:
    def load(card: Card, weights: Weights | None) -> Run:
        def run(texts: Sequence[str]) -> np.ndarray:
            if calls is not None:
                calls.append(len(texts))
            if without_memory_for in texts:
                raise MemoryError
            return np.array([[len(text), 1] for text in texts], np.float32)

        return run

    return Extractor(CARD, load)


def test_what_failed_in_passing_is_tried_by_the_next_run_and_nothing_else_is(lake: Lake) -> None:
    first = make(lake, toy(without_memory_for="ужасно"), DAY)
    assert first.status == {"ok": 1, "out_of_memory": 1, "empty": 1}
    calls: list[int] = []
    second = make(lake, toy(calls=calls), DAY)
    assert (second.state, second.status, second.computed, calls) == ("published", {"ok": 2, "empty": 1}, 1, [1])
    third = make(lake, toy(calls=calls), DAY)
    assert (third.state, third.computed, calls) == ("unchanged", 0, [1])


def test_a_day_is_computed_again_just_where_that_is_asked_for(lake: Lake) -> None:
    make(lake, toy(), DAY)
    calls: list[int] = []
    again = make(lake, toy(calls=calls), DAY, again=True)
    assert (again.state, again.computed, again.reused, calls) == ("published", 2, 1, [1, 1])


def test_the_lake_tells_what_a_fingerprint_was_made_of(lake: Lake) -> None:
    run = make(lake, toy(), DAY)
    assert run.fingerprint is not None
    said = lake.storage.read(identity_path(run.fingerprint))
    assert hashlib.sha256(said).hexdigest() == run.fingerprint
    assert said.decode() == CARD.identity()


def test_a_run_on_older_inputs_makes_the_day_anew_and_one_with_other_code_gives_way(lake: Lake) -> None:
    def edited_meanwhile(version: int) -> Extractor:
        """While it loads, the day is edited and made by a faster run of the code of that version."""

        def load(card: Card, weights: Weights | None) -> Run:
            if not met:
                met.append(1)
                bring(lake, {DAY: {"a": "переписано"}}, edited=version)
                make(lake, CLEANING, DAY)
                make(lake, Extractor(replace(CARD, version=version), toy().load), DAY)
                if version == 1:  # the faster run saw an older state of the day than the one that stands at last
                    bring(lake, {DAY: {"a": "и ещё раз"}}, edited=version + 1)
                    make(lake, CLEANING, DAY)
            return toy().load(card, weights)

        met: list[int] = []
        return Extractor(CARD, load)

    run = make(lake, edited_meanwhile(version=1), DAY)
    assert run.state == "published"
    assert {row["review_id"]: row["embedding"] for row in lake.read(CARD.table, DAY).to_pylist()}["a"] == [9, 1]
    assert make(lake, toy(), DAY).state == "unchanged"
    bring(lake, {DAY: {"b": "и это"}}, edited=5)
    make(lake, CLEANING, DAY)
    older = make(lake, edited_meanwhile(version=7), DAY)
    assert older.state == "superseded"
    assert set(lake.read(CARD.table, DAY)["fingerprint"].to_pylist()) == {replace(CARD, version=7).fingerprint()}
    assert not lake.storage.files("_staging", recursive=True)


def test_rows_that_fail_a_table_check_are_not_taken_up_again(lake: Lake) -> None:
    column = Column(name="score", type=pa.float32(), required=False, value=True, high=1, doc="at most 1")
    card = replace(CARD, dim=None, columns=(column,))

    def scores(value: float) -> Extractor:
        def run(texts: Sequence[str]) -> pa.RecordBatch:
            return pa.record_batch({"score": pa.array([value] * len(texts), pa.float32())})

        return Extractor(card, lambda card, weights: run)

    with pytest.raises(CheckFailed):
        make(lake, scores(2.0), DAY)
    assert not lake.storage.files("_staging", recursive=True)
    assert make(lake, scores(1.0), DAY).status == {"ok": 2, "empty": 1}
