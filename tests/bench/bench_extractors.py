"""How many decoded contents a second each extractor's own function computes, loaded and warm: those that load here.

The networks for images run with fixed random weights where the real ones are not here, which takes as long. What learns
from a lake learns from made-up texts first.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tasks.extractors import Extractor, get, names
from tasks.extractors.card import AudioInput, Card, ImageInput, Run
from tasks.extractors.decode import decode
from tasks.extractors.store import choose, present
from tests.bench.figure import Figure
from tests.tasks.extractors.contents import audio, image
from tests.tasks.extractors.fitting import CORPUS, fitted

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
PICTURES, RECORDINGS, RUNS = 16, 16, 3


def figures() -> Iterator[Figure]:
    for name in names():
        found = get(name)
        if found.card.backend == "api":
            continue
        with tempfile.TemporaryDirectory() as folder:
            loaded = _loaded(found, Path(folder))
        if loaded is not None:
            yield _figure(found.card, *loaded)


def _loaded(found: Extractor, folder: Path) -> tuple[Run, str] | None:
    """The extractor's function and what it computes with; None where its weights are not here."""
    with patch.dict(os.environ, {} if "OTZYV_MODELS" in os.environ else {"OTZYV_MODELS": str(MODELS)}):
        card = found.card
        weights = choose(card)
        if not found.fit and (weights is None or present(card.name, weights)):
            return found.load(card, weights), "real weights" if weights else "no weights"
        with patch.dict(os.environ, OTZYV_MODELS=str(folder)):
            if found.fit:
                return found.load(card, fitted(found)), "fitted"
            if card.modality == "image":
                from tests.tasks.extractors.networks import filled_at_random, published

                return found.load(card, published(card, filled_at_random(card), folder)), "random weights"
    return None


def _figure(card: Card, run: Run, what: str) -> Figure:
    contents, said = _contents(card)
    seconds = []
    for _ in range(1 + RUNS):
        clock = time.perf_counter()
        for start in range(0, len(contents), card.batch_rows):
            run(contents[start : start + card.batch_rows])
        seconds.append(time.perf_counter() - clock)
    return Figure(
        f"{card.name}, decoded contents",
        len(contents) / statistics.median(seconds[1:]),
        "",
        f"{said}, {what}, {card.backend} in {card.precision}; the first time {seconds[0]:.2f} s",
        unit="a second",
    )


def _contents(card: Card) -> tuple[Sequence[Any], str]:
    match card.input:
        case ImageInput() as spec:
            files = [image("PNG", seed=seed, width=400, height=300) for seed in range(PICTURES)]
            return _decoded(spec, *files), f"{len(files)} pictures"
        case AudioInput() as spec:
            files = [audio("WAV", pitch=200.0 + 9 * seed, seconds=4) for seed in range(RECORDINGS)]
            return _decoded(spec, *files), f"{len(files)} recordings of 4 s"
    texts = [f"{one} {other}" for one in CORPUS for other in CORPUS]
    return texts, f"{len(texts)} texts of {sum(text.count(' ') + 1 for text in texts) // len(texts)} words"


@cache
def _decoded(spec: ImageInput | AudioInput, *files: bytes) -> list[Any]:
    return [decode(spec, data) for data in files]
