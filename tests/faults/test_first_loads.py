"""Whatever is loaded first, and by however many threads at once, loads as it does alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from unittest.mock import patch

import pytest

from otzyv.schemas.checks import check
from otzyv.schemas.sample import sample
from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.extractors import get, names
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract.contents import Data
from otzyv.tasks.extractors.contract.fitting import fitted
from otzyv.tasks.extractors.contract.tests import datas_for, digest, rows
from otzyv.tasks.models.store import choose, present, stored
from otzyv.tasks.models.weights import Weights
from tests.faults.counts import share, turns
from tests.tasks.extractors.networks import random_weights

LIBRARIES = ("image_squeezenet", "text_rubert_tiny2", "sentiment_mini", "text_navec", "text_tfidf")
"""An extractor of each library that a first load imports: torchvision, transformers, fastText, navec, pymorphy3.

The full count loads every extractor.
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Weights | None]]:
    """Of each extractor, all in one model store: a process has one."""
    chosen = [name for name in names() if _loadable(get(name).card)] if share() else LIBRARIES
    with patch.dict(os.environ, OTZYV_MODELS=str(tmp_path_factory.mktemp("models"))):
        yield {name: _weights(name) for name in chosen}


def _loadable(card: Card) -> bool:
    """Whether it is no API, and its weights are no package's that is not installed."""
    weights = choose(card)
    return card.backend != "api" and (weights is None or stored(weights) or present(card.name, weights))


def _weights(name: str) -> Weights | None:
    found = get(name)
    if found.fit:
        return fitted(found)
    known = choose(found.card)
    return known if known is None or present(name, known) else random_weights(found.card)


def test_threads_that_load_at_once_get_what_one_alone_gets(weights: dict[str, Weights | None]) -> None:
    known = {name: value for name, value in os.environ.items() if name.startswith("OTZYV_")}
    datas = {name: datas_for(get(name).card) for name in weights}
    wanted = {name: digest(rows(get(name), datas[name], weights[name])) for name in weights}
    for turn in turns("first loads by threads at once", 1, 20):
        order = [*weights][turn % len(weights) :] + [*weights][: turn % len(weights)]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            assert fresh.submit(loaded, order, datas, weights, known).result() == wanted


def loaded(
    chosen: Sequence[str],
    datas: Mapping[str, Sequence[Data]],
    weights: Mapping[str, Weights | None],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Digests of what extractors compute that are loaded at the same moment, each by a thread; and a check's beside."""
    ready = threading.Barrier(len(chosen) + 1)

    def compute(name: str) -> str:
        ready.wait(60)
        return digest(rows(get(name), datas[name], weights[name]))

    def judge() -> bool:
        table = sample(CLEAN_TEXT, 5, seed=1)
        ready.wait(60)
        return check(CLEAN_TEXT, table).ok

    with patch.dict(os.environ, environment), ThreadPoolExecutor(len(chosen) + 1) as pool:
        checked = pool.submit(judge)
        found = dict(zip(chosen, pool.map(compute, chosen), strict=True))
        assert checked.result()
    return found
