"""Sentiment of a text by dostoevsky: its tokenizer and model classes, on its own model or on the one shipped here."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    from dostoevsky.models import FastTextSocialNetworkModel

LABELS = ("negative", "neutral", "positive", "skip", "speech")
"""RuSentiment's classes: ``speech`` are greetings, thanks and congratulations, ``skip`` is what can't be judged."""

_MEANING = {
    "negative": "a negative attitude or feeling",
    "neutral": "no sentiment",
    "positive": "a positive attitude or feeling",
    "skip": "text that can't be judged: noise, advertising, quotations",
    "speech": "greetings, thanks, congratulations",
}

_COLUMNS = (
    *(
        Column(name=label, type=pa.float32(), required=False, value=True, low=0, high=1.0001,
               doc=f"one-vs-all score of {_MEANING[label]}; the five need not sum to 1")
        for label in LABELS
    ),
    Column(name="label", type=pa.string(), required=False, value=True, labels=LABELS,
           doc="the label with the highest score"),
)  # fmt: skip

DOSTOEVSKY = Card(
    name="sentiment_dostoevsky",
    version=1,
    modality="plain",
    doc="sentiment by dostoevsky's model of social networks",
    licence="MIT (dostoevsky); the model learned from RuSentiment, published as CC BY-NC-SA 4.0 and later withdrawn",
    source="https://github.com/bureaucratic-labs/dostoevsky, Rogers et al., RuSentiment (COLING 2018, C18-1064)",
    columns=_COLUMNS,
    weights=(
        Weights(
            source="https://storage.b-labs.pro/models/fasttext-social-network-model.tar.xz holds it too,",
            revision="as of dostoevsky 0.6.0",
            licence="MIT (dostoevsky), data CC BY-NC-SA 4.0",
            # No sha256 is published: the first one met is recorded by the lake and held to.
            files=(
                File(
                    "fasttext-social-network-model.bin",
                    sha256="",
                    url="https://storage.b-labs.pro/models/fasttext-social-network-model.bin",
                ),
            ),
        ),
    ),
    backend="fasttext",
    tolerance=1e-6,
    profiles=frozenset({"standard"}),
    batch_rows=2048,
    notes="trained with epoch 10, lr 0.21909, dim 64, wordNgrams 3, minn 2, maxn 5, bucket 259929, one-vs-all",
)

_KNOWN: dict[str, Any] = json.loads(Path(__file__).with_name("sentiment_mini.json").read_text(encoding="utf-8"))

MINI = Card(
    name="sentiment_mini",
    version=2,
    modality="plain",
    doc="sentiment by the small model this project trains and ships",
    licence=_KNOWN["licence"],
    source="sentiment_mini.json beside the model: data, settings, what was tried and how well it does",
    columns=_COLUMNS,
    weights=(
        Weights(
            source="package:otzyv.tasks.extractors.text",
            revision=_KNOWN["date"],
            licence=_KNOWN["licence"],
            files=(File(_KNOWN["file"], sha256=_KNOWN["sha256"], bytes=_KNOWN["bytes"]),),
        ),
    ),
    backend="fasttext",
    tolerance=1e-6,
    profiles=frozenset({"embedded", "standard"}),
    batch_rows=2048,
    notes="; ".join(
        "held-out macro-F1 {macro_f1} over {rows} {of}, per class {f1}".format(of=of, **_KNOWN["held_out"][kind])
        for kind, of in (("self_written", "written reviews"), ("ru_goemotions", "comments"))
    ),
)


@register(DOSTOEVSKY)
@register(MINI)
def sentiment(card: Card, weights: Weights | None) -> Run:
    """Plain texts -> a batch with the five scores and the label. Raises WeightsError, and ValueError for a model whose
    labels are not the five."""
    chosen = weights or card.weights[0]
    path = store.locate(card.name, chosen)[chosen.files[0].name]
    model = _model(path)
    if sorted(model.model.get_labels()) != [f"__label__{label}" for label in LABELS]:
        raise ValueError(f"{card.name}: {path} is not a model of the labels {', '.join(LABELS)}")

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        labels, scores = model.predict(list(texts))
        places = [[_PLACE[label] for label in ranked] for ranked in labels]
        table = np.empty((len(texts), len(LABELS)), np.float32)
        if len(texts):
            np.put_along_axis(table, np.array(places), np.array(scores, np.float32), axis=1)
        top = pa.array([ranked[0].removeprefix("__label__") for ranked in labels], pa.string())
        columns = [pa.array(table[:, place].copy()) for place in range(len(LABELS))]
        return pa.RecordBatch.from_arrays([*columns, top], names=[*LABELS, "label"])

    return run


_PLACE = {f"__label__{label}": place for place, label in enumerate(LABELS)}


def _model(path: Path) -> FastTextSocialNetworkModel:
    """dostoevsky's model class on the file at ``path``, with tokens from memory and fastText's list path."""
    from dostoevsky.models import FastTextSocialNetworkModel

    from otzyv.tasks.inference.dostoevsky_tokens import ChunkTokenizer

    class Model(FastTextSocialNetworkModel):  # type: ignore[misc]
        MODEL_PATH = str(path)

        def preprocess_input(self, sentences: list[str]) -> list[str]:
            return [self.tokenizer.line(sentence) for sentence in sentences]

        def predict(self, sentences: list[str], k: int = -1) -> tuple[list[list[str]], list[np.ndarray]]:
            # The library's own predict, text by text, fails under NumPy 2; scores are bitwise the same.
            labels, scores = self.model.predict(self.preprocess_input(sentences), k=k)
            return labels, scores

    with contextlib.redirect_stderr(io.StringIO()):  # fastText warns that load_model gives another class than in 2018
        return Model(ChunkTokenizer())
