"""TF-IDF on ready lemmas beside scikit-learn's own transform, and what lemmatising each word once saves."""

from __future__ import annotations

import csv
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.contract.fitting import fitted
from otzyv.tasks.extractors.fitted import split, unpack
from otzyv.tasks.extractors.text.lemmas import _remembered, lemmas
from tests.bench.figure import Figure, alternate

REVIEWS = Path(__file__).parents[2].parent / "shared" / "data" / "text" / "yandex_geo" / "yandex_geo_reviews_mit.csv"
TEXTS = 20_000
LOOKED_UP = 200
"""Texts that are lemmatised word by word without memory: it is slow."""


def figures() -> Iterator[Figure]:
    from pymorphy3 import MorphAnalyzer
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, what = _texts()
    ready = [" ".join(lemmas(text)) for text in texts]
    extractor = get("text_tfidf")
    parts = "otzyv.tasks.extractors.text.bag_of_words"
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, OTZYV_MODELS=folder),
        patch(f"{parts}.lemma", str),  # the lemmas are ready
        patch(f"{parts}.lemmas", str.split),
    ):
        weights = fitted(extractor, ready)
        words = split(unpack(extractor.card, weights).arrays["words"])
        run = extractor.load(extractor.card, weights)
    library = TfidfVectorizer(analyzer=str.split, sublinear_tf=True, vocabulary=words).fit(ready)
    chunks = [ready[start : start + extractor.card.batch_rows] for start in range(0, TEXTS, extractor.card.batch_rows)]
    worst = _worst(run(chunks[0]), library.transform(chunks[0]))
    mine, theirs, ratio = alternate(
        lambda: [run(chunk) for chunk in chunks], lambda: [library.transform(chunk) for chunk in chunks]
    )
    yield Figure(
        "TF-IDF on ready lemmas, against scikit-learn's transform",
        ratio,
        ">= 1",
        f"{TEXTS:,} {what}, {len(words):,} lemmas, rows as Arrow; {_each(mine, TEXTS)} against {_each(theirs, TEXTS)}; "
        f"largest difference {worst:.0e}",
    )

    analyzer, some = MorphAnalyzer(lang="ru"), texts[:LOOKED_UP]
    mine, theirs, ratio = alternate(
        lambda: _remembering(some),
        lambda: [[analyzer.parse(word)[0].normal_form for word in text.split()] for text in some],
        runs=3,
    )
    yield Figure(
        "lemmas looked up once a word, against at every word",
        ratio,
        ">= 1",
        f"{LOOKED_UP} {what}, nothing remembered before; {_each(mine, LOOKED_UP)} against {_each(theirs, LOOKED_UP)}",
    )


def _remembering(texts: list[str]) -> list[list[str]]:
    _remembered.cache_clear()
    return [lemmas(text) for text in texts]


def _worst(ours: object, theirs: object) -> float:
    assert isinstance(ours, pa.RecordBatch)
    rows = np.zeros(theirs.shape, np.float32)  # type: ignore[attr-defined]
    for row, (places, values) in enumerate(zip(ours["indices"], ours["values"], strict=True)):
        rows[row, places.values.to_numpy()] = values.values.to_numpy()
    return float(np.abs(rows - theirs.toarray()).max())  # type: ignore[attr-defined]


def _each(seconds: float, texts: int) -> str:
    return f"{seconds / texts * 1e6:.0f} µs a text"


def _texts() -> tuple[list[str], str]:
    """Plain texts of as many words as a review has: of real reviews' words where they are to be had."""
    chance = random.Random(0)
    if REVIEWS.exists():
        with REVIEWS.open(encoding="utf-8", newline="") as stream:
            reviews, what = [row["text"] for row in csv.DictReader(stream)], "texts of real reviews' sentences"
    else:
        words = [f"{a}{b}{c}" for a in ("по", "на", "учи") for b in ("каз", "тел", "бот") for c in "аеиоу"]
        reviews, what = [" ".join(chance.choices(words, k=40)) + "." for _ in range(500)], "made-up texts"
    sentences = [" ".join(_plain(part).split()) for review in reviews for part in review.split(".")]
    sentences = [sentence for sentence in sentences if sentence]
    each = max(1, len(sentences) // len(reviews))
    return [" ".join(chance.choices(sentences, k=each)) for _ in range(TEXTS)], what


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower().replace("ё", "е"))


if __name__ == "__main__":
    for figure in figures():
        print(figure)
