"""Any extractor with what it needs to be loaded, on a machine that has neither its weights nor a key for its API."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.contract.fitting import fitted
from otzyv.tasks.extractors.contract.ready import Ready
from otzyv.tasks.extractors.text.embeddings_api import KEY as KEY_NAME
from otzyv.tasks.models.store import choose, locate, present, stored
from tests.tasks.extractors.openai_server import DIM, KEY, serving

SHARED = Path(__file__).parents[4] / "shared" / "models"


@contextmanager
def ready(name: str, *, anywhere: bool = False) -> Iterator[Ready]:
    """Its own weights where they are here, else random ones; what it learned from the texts of tests; or a server on
    loopback to ask. The environment says where all that is, as long as this lasts.

    ``anywhere``: of real weights only those that a package brings, and no real tokenizer. Raises MissingWeights where
    such a package is not installed: random weights are for those that must be fetched.
    """
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
        if anywhere:
            os.environ["OTZYV_MODELS"] = folder
        elif "OTZYV_MODELS" not in os.environ and SHARED.is_dir():
            os.environ["OTZYV_MODELS"] = str(SHARED)
        found = get(name)
        weights = choose(found.card)
        if found.card.backend == "api":
            with serving() as server:
                said = {"base_url": server.url, "model": "toy", "dimensions": DIM, "price": "1", "budget": "1000"}
                os.environ |= {KEY_NAME: KEY, "OTZYV_OPENAI": json.dumps(said)}
                yield Ready(get(name), None, "a server on loopback, in the same process")
        elif found.fit:
            os.environ["OTZYV_MODELS"] = folder
            yield Ready(found, fitted(found), "fitted")
        elif weights is None:
            yield Ready(found, None, "no weights")
        elif present(found.card.name, weights):
            yield Ready(found, weights, "real weights", not stored(weights))
        elif packaged := [each for each in found.card.weights if not stored(each)]:
            locate(name, packaged[0])
        else:
            from tests.tasks.extractors.networks import SHARED_RUBERT, random_weights

            os.environ["OTZYV_MODELS"] = folder
            tokenizer = Path(folder, "none") if anywhere else SHARED_RUBERT
            same = anywhere or not tokenizer.is_dir() or found.card.modality != "text"
            yield Ready(found, random_weights(found.card, tokenizer), "random weights", same)
