"""An extractor with what it needs to be loaded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.contract.fitting import fitted
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.registry import get
from otzyv.tasks.models.store import choose
from otzyv.tasks.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Ready:
    """An extractor, the weights to load it with, and what they are, for people."""

    extractor: Extractor
    weights: Weights | None
    what: str
    anywhere: bool = True
    """Whether they are the same on every machine."""

    def load(self) -> Run:
        return self.extractor.load(self.extractor.card, self.weights)


@contextmanager
def ready(name: str) -> Iterator[Ready]:
    """Its own weights, which must be here to load it; or what it learned from texts made up for tests, in a model
    store that lasts as long as this.
    """
    found = get(name)
    weights = choose(found.card)
    if found.fit:
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, OTZYV_MODELS=folder):
            yield Ready(found, fitted(found), "fitted")
    else:
        yield Ready(found, weights, "real weights" if weights else "no weights")
