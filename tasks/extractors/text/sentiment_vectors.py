"""What ``sentiment_mini`` knows before it sees a label: navec's word vectors, in fastText's text format."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

NAVEC = Weights(
    source="package:natasha",
    revision="navec_news_v1",
    licence="MIT",
    files=(
        File(
            "data/emb/navec_news_v1_1B_250K_300d_100q.tar",
            sha256="f07270833d78523edc5781538d67038e95b43975e4a7ae757c693b687f9cbfca",
        ),
    ),
)


def write_vectors(
    path: Path, texts: Sequence[str], labels: Sequence[str], *, dim: int, scale: float, extra: int
) -> None:
    """Write vectors of ``dim`` dimensions (navec's principal ones), of length ``scale`` on average.

    They are of the texts' words and of the ``extra`` other words that point most to one of the labels: by the largest
    product with the mean vector of a label's words, less that of all words. So the model also knows words of feeling
    that no training text has.
    """
    words, vectors = _navec(dim)
    place = {word: number for number, word in enumerate(words)}
    known = [[place[word] for word in text.split() if word in place] for text in texts]
    middle = _mean(vectors, (number for numbers in known for number in numbers))
    pull = np.zeros(len(words), np.float32)
    for label in sorted(set(labels)):
        its = (number for numbers, other in zip(known, labels, strict=True) if other == label for number in numbers)
        pull = np.maximum(pull, vectors @ (_mean(vectors, its) - middle))
    used = np.zeros(len(words), bool)
    used[[number for numbers in known for number in numbers]] = True
    strongest = np.argsort(np.where(used, -np.inf, pull), kind="stable")[len(words) - extra :]
    chosen = np.sort(np.concatenate([np.flatnonzero(used), strongest]))
    with path.open("w", encoding="utf-8") as stream:
        stream.write(f"{len(chosen)} {dim}\n")
        for number in chosen:
            stream.write(f"{words[number]} {' '.join(f'{x:.3f}' for x in vectors[number] * scale)}\n")


def _mean(vectors: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
    mean: np.ndarray = vectors[np.fromiter(numbers, int)].mean(axis=0)
    return mean


@functools.cache
def _navec(dim: int) -> tuple[list[str], np.ndarray]:
    """navec's words in plain form (ё as е, the more frequent spelling's vector), and their vectors."""
    from navec import Navec

    (path,) = store.locate("sentiment_mini's training", NAVEC).values()
    navec = Navec.load(path)
    place: dict[str, int] = {}
    for number in np.argsort(-np.array(navec.vocab.counts), kind="stable"):
        word = navec.vocab.words[number].replace("ё", "е")
        if word.isalnum():
            place.setdefault(word, int(number))
    vectors = navec.pq.unpack()[list(place.values())].astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    vectors = vectors @ axes[:, ::-1][:, :dim]
    vectors /= np.linalg.norm(vectors, axis=1).mean()
    return list(place), vectors.astype(np.float32)
