"""A run loads each model once, however many days it makes, as long as there is room and nothing went wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.contract.contents import contents
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.loop import ExtractorFailed, extract
from otzyv.tasks.extractors.model_cache import ROOM, keep_models
from otzyv.tasks.models.weights import File, Weights


class Counted:
    """An extractor that counts how often it is loaded, and fails on texts that say so."""

    def __init__(self, **fields: Any) -> None:
        said: dict[str, Any] = {"name": "made_up", "version": 1, "modality": "text", "dim": 1} | fields
        self.loads = 0
        self.extractor = Extractor(Card(doc="d", licence="l", source="s", **said), self._load)

    def _load(self, card: Card, weights: Weights | None) -> Run:
        self.loads += 1

        def run(texts: Sequence[str]) -> np.ndarray[Any, Any]:
            if "беда" in texts:
                raise ValueError
            if "много" in texts:
                raise MemoryError
            return np.ones((len(texts), 1), np.float32)

        return run

    def day(self, *texts: str, weights: Weights | None = None) -> None:
        list(extract(self.extractor, weights, contents(texts)))


def test_days_of_one_run_load_a_model_once_and_runs_share_none() -> None:
    made = Counted()
    for _ in range(2):
        with keep_models():
            for text in "абв":
                with keep_models():
                    made.day(text)
    assert made.loads == 2
    made.day("а")
    made.day("а")
    assert made.loads == 4


def test_another_version_is_another_model() -> None:
    old, new = Counted(), Counted(version=2)
    with keep_models():
        old.day("а")
        new.day("а")
    assert (old.loads, new.loads) == (1, 1)


def test_a_model_that_failed_is_not_used_again() -> None:
    made = Counted()
    with keep_models():
        made.day("а")
        with pytest.raises(ExtractorFailed):
            made.day("беда")
        made.day("а")
        made.day("а")
    assert made.loads == 2


def test_two_days_at_once_never_share_a_model() -> None:
    made = Counted(batch_rows=1)
    with keep_models():
        made.day("а")
        both = [extract(made.extractor, None, contents(texts), chunk_rows=1) for texts in ("аб", "вг")]
        for one in (*both, *both):
            next(one)
        assert made.loads == 2
        for one in both:
            assert next(one, None) is None
        made.day("а")
    assert made.loads == 2


def test_models_beyond_the_room_are_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    weights = Weights("made here", "1", "none", (File("m.bin", "0" * 64),))
    models = [Counted(name=name) for name in ("text_a", "text_b")]
    for name in ("text_a", "text_b"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "m.bin").open("wb") as file:
            file.truncate(ROOM // 2 + 1)
    with keep_models():
        for _ in range(3):
            for model in models:
                model.day("а", weights=weights)
    assert [model.loads for model in models] == [1, 3]


def test_models_that_wait_give_way_where_memory_is_short() -> None:
    waits, needs = Counted(), Counted(name="another")
    with keep_models():
        waits.day("а")
        needs.day("много")
        waits.day("а")
    assert waits.loads == 2


def test_threads_may_share_the_place() -> None:
    made = Counted()
    with keep_models() as place:
        made.day("а")

        def churn() -> None:
            for _ in range(200):
                run = place.take(made.extractor.card, None)
                if run is not None:
                    place.give(made.extractor.card, None, run)

        threads = [threading.Thread(target=churn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made.day("а")
    assert made.loads == 1
