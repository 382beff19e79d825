"""Fits extractors on contents made up for tests, into the model store of a test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract.contents import TEXTS
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.fitted import pack
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

CORPUS = tuple(f"{one} {other}" for one in TEXTS for other in TEXTS)
"""Texts in which every word occurs several times."""


def vectors(dim: int, count: int) -> np.ndarray:
    """Made-up vectors that vary along some directions more than along others."""
    chance = np.random.default_rng(0)
    return (chance.standard_normal((count, dim)) * np.geomspace(3, 1e-4, dim) + 1).astype(np.float32)


def contents_to_learn(card: Card) -> Iterable[Any]:
    return vectors(card.reads.dim or 0, 80) if card.reads else CORPUS


def fitted(extractor: Extractor, contents: Iterable[Any] | None = None) -> Weights:
    """What the extractor learned, in the model store of OTZYV_MODELS."""
    assert extractor.fit is not None
    card = extractor.card
    data = pack(card, extractor.fit(card, contents_to_learn(card) if contents is None else contents))
    sha256 = hashlib.sha256(data).hexdigest()
    path = store.root() / card.name / f"{sha256}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Weights("a test", "1", card.licence, (File(path.name, sha256),))
