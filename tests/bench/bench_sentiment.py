"""Sentiment against dostoevsky's tokenizer text by text plus fastText's list path, on the model that is shipped."""

from __future__ import annotations

import contextlib
import csv
import io
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.text.sentiment import MINI, sentiment
from tests.bench.figure import Figure, alternate

REVIEWS = Path(__file__).parents[2].parent / "shared" / "data" / "text" / "yandex_geo" / "yandex_geo_reviews_mit.csv"
TEXTS = 20_000
CHUNK = MINI.batch_rows
MODEL = Path(__file__).parents[2] / "tasks" / "extractors" / "text" / MINI.weights[0].files[0].name


def figures() -> Iterator[Figure]:
    texts, what = _texts()
    run, library = sentiment(MINI, None), _library()
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    ours = pa.Table.from_batches([_batch(run, chunk) for chunk in chunks])
    labels, best = zip(*((ranked[0], scores[0]) for ranked, scores in zip(*library(texts), strict=True)), strict=True)
    assert [label.removeprefix("__label__") for label in labels] == ours["label"].to_pylist()
    top = [max(row) for row in zip(*(column.to_pylist() for column in ours.columns[:-1]), strict=True)]
    worst = max(abs(a - b) for a, b in zip(top, best, strict=True))
    said = f"{len(texts):,} {what}, equal labels, scores within {worst:.0e}"

    mine, theirs, ratio = alternate(lambda: [run(chunk) for chunk in chunks], lambda: library(texts), runs=3)
    yield Figure(
        "sentiment, one process", ratio, ">= 3.5", f"{said}; {_each(mine, texts)} against {_each(theirs, texts)}"
    )

    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_start) as pool:
        mine, theirs, ratio = alternate(lambda: list(pool.map(_in_child, chunks)), lambda: library(texts), runs=3)
    yield Figure(
        "sentiment, two processes",
        ratio,
        ">= 5",
        f"{what}, chunks of {CHUNK} to spawned children; {_each(mine, texts)}",
    )


def _each(seconds: float, texts: Sequence[str]) -> str:
    return f"{seconds / len(texts) * 1e6:.0f} µs a text"


def _texts() -> tuple[list[str], str]:
    """Texts in plain form: sentences of real reviews, where they are to be had, in many arrangements."""
    chance = random.Random(0)
    if REVIEWS.exists():
        with REVIEWS.open(encoding="utf-8", newline="") as stream:
            reviews, what = [row["text"] for row in csv.DictReader(stream)], "texts of real reviews' sentences"
    else:
        words = [
            f"{a}{b}{c}" for a in ("по", "на", "учи", "рас") for b in ("каз", "тел", "бот", "куп") for c in "аеиоу"
        ]
        reviews, what = [" ".join(chance.choices(words, k=40)) + "." for _ in range(500)], "made-up texts"
    sentences = [" ".join(_plain(part).split()) for review in reviews for part in review.split(".")]
    sentences = [sentence for sentence in sentences if sentence]
    each = max(1, len(sentences) // len(reviews))
    return [" ".join(chance.choices(sentences, k=each)) for _ in range(TEXTS)], what


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower().replace("ё", "е"))


def _library() -> Callable[[list[str]], tuple[list[list[str]], list[Sequence[float]]]]:
    from dostoevsky.models import FastTextSocialNetworkModel
    from dostoevsky.tokenization import RegexTokenizer

    class Library(FastTextSocialNetworkModel):  # type: ignore[misc]
        MODEL_PATH = str(MODEL)

    with contextlib.redirect_stderr(io.StringIO()):  # fastText's warning
        model = Library(RegexTokenizer())

    def predict(texts: list[str]) -> tuple[list[list[str]], list[Sequence[float]]]:
        labels, scores = model.model.predict(model.preprocess_input(texts), k=-1)
        return labels, scores

    return predict


_run: Run


def _start() -> None:
    global _run
    _run = sentiment(MINI, None)


def _in_child(texts: list[str]) -> pa.RecordBatch:
    return _batch(_run, texts)


def _batch(run: Run, texts: Sequence[str]) -> pa.RecordBatch:
    batch = run(texts)
    assert isinstance(batch, pa.RecordBatch)
    return batch
