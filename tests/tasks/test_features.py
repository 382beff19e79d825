"""A day of a feature table: what stands is kept, what failed in passing is tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tasks.clean import CLEANING
from tasks.extractors import Card, Extractor, Run, Weights
from tasks.features import identity_path, make
from tasks.lake import Lake
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
