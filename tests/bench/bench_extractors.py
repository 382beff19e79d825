"""How many decoded contents a second each extractor's own function computes, loaded and warm.

Networks run with fixed random weights where the real ones are not here, which takes as long. What learns from a lake
learns from made-up texts first, and the paid API is a server on loopback. What needs a package that is not installed is
left out.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from otzyv.tasks.extractors import names
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract.contents import audio, image
from otzyv.tasks.extractors.contract.fitting import CORPUS
from otzyv.tasks.extractors.contract.ready import Ready
from otzyv.tasks.media.decode import decode
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.models.store import MissingWeights
from tests.bench.figure import Figure
from tests.tasks.extractors.ready import ready

PICTURES, RECORDINGS, RUNS = 16, 16, 3


def figures() -> Iterator[Figure]:
    for name in names():
        with contextlib.suppress(MissingWeights), ready(name) as made:
            yield _figure(made)


def _figure(made: Ready) -> Figure:
    card, run = made.extractor.card, made.load()
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
        f"{said}, {made.what}, {card.backend} in {card.precision}; the first time {seconds[0]:.2f} s",
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
