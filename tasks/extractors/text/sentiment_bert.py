"""Sentiment of a text by a BERT with a classifier on top. A further one is a card under ``register``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.text.bert import rows
from otzyv.tasks.inference.network import network
from otzyv.tasks.inference.skip_init import skip_init
from otzyv.tasks.inference.tokenizer import INPUTS, tokenizer
from otzyv.tasks.inference.transformer import configuration, fill
from otzyv.tasks.models.store import WrongWeights, locate
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    import torch

LABELS = ("negative", "neutral", "positive")

_HUB = "https://huggingface.co/cointegrated/rubert-tiny-sentiment-balanced"
_REVISION = "e0679dd4460e48648f5d4d819ae0f505384f5a9d"
_LICENCE = "none stated; goes on from rubert-tiny, MIT"

RUBERT = Card(
    name="sentiment_rubert",
    version=1,
    modality="text",
    doc="sentiment by rubert-tiny, trained on Russian data sets in balance",
    licence=_LICENCE,
    source=_HUB,
    columns=(
        *(
            Column(name=label, type=pa.float32(), required=False, value=True, low=0, high=1.0001,
                   doc=f"probability of a {label} attitude; the three sum to 1")
            for label in LABELS
        ),
        Column(name="label", type=pa.string(), required=False, value=True, labels=LABELS,
               doc="the label with the highest probability"),
    ),
    weights=(
        Weights(
            source=_HUB,
            revision=_REVISION,
            licence=_LICENCE,
            files=(
                File("model.safetensors", "d07b47bf2b17c8e41ff772f5dd433a6014cb15fe776047027970d4f3fd9b7c9e",
                     f"{_HUB}/resolve/{_REVISION}/model.safetensors", about=47_200_000),
                # No sha256 is published of these two: those of the first fetch are recorded and held to.
                File("config.json", "", f"{_HUB}/resolve/{_REVISION}/config.json", 884),
                File("tokenizer.json", "", f"{_HUB}/resolve/{_REVISION}/tokenizer.json", about=468_000),
            ),
        ),
    ),
    backend="openvino",
    # In full: rounding moves a probability near one half by hundredths, and with it now and then the label.
    precision="f32",
    tolerance=1e-4,
    parameters=11_785_107,
    settings=(("max_tokens", 512),),
    batch_rows=1024,
    notes="A text is read as far as its 512th token; the rest has no effect.",
)  # fmt: skip


@register(RUBERT)
def classifier(card: Card, weights: Weights | None) -> Run:
    """Texts -> a batch with a probability for each label of the card, and the most probable one.

    The weights' files: ``config.json``, ``tokenizer.json`` and ``model.safetensors``. Raises as ``store.locate``;
    WrongWeights too where the files do not make up a classifier of the card's labels.
    """
    if weights is None:
        raise ValueError(f"{card.name}: a classifier needs weights, and its card names none")
    files = locate(card.name, weights)
    labels = card.columns[-1].labels or ()
    tokens = tokenizer(card.name, files, dict(card.settings)["max_tokens"])
    net = network(
        _module(card, files, labels),
        INPUTS,
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        scores = rows(net, tokens, texts, len(labels))
        top = pa.array(np.array(labels, object)[scores.argmax(axis=1)], pa.string())
        columns = [pa.array(scores[:, place].copy()) for place in range(len(labels))]
        return pa.RecordBatch.from_arrays([*columns, top], names=[*labels, "label"])

    return run


def _module(card: Card, files: Mapping[str, Path], labels: Sequence[str]) -> torch.nn.Module:
    """(rows, tokens) ids and mask -> (rows, labels) probabilities, in the order of the card's labels."""
    config = configuration(card, files)
    import torch
    import transformers

    if config.model_type != "bert" or sorted(config.id2label.values()) != sorted(labels):
        said = ", ".join(map(str, config.id2label.values()))
        raise WrongWeights(f"{card.name}: config.json is of a {config.model_type!r} that tells {said}, not a bert that "
                           f"tells {', '.join(labels)}")  # fmt: skip
    with skip_init():
        model: Any = transformers.BertForSequenceClassification(config)
    fill(model, card.name, files["model.safetensors"])
    order = [config.label2id[label] for label in labels]

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=ids.long(), attention_mask=mask.long()).logits
            return logits.float().softmax(dim=-1)[:, order]

    return Probabilities()
