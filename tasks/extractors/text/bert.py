"""Sentence vectors from BERT and its kin. A further encoder is a card under ``register`` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.inference.network import Network, network
from otzyv.tasks.inference.tokenizer import INPUTS, by_tokens, padded, tokenizer
from otzyv.tasks.inference.transformer import encoder
from otzyv.tasks.models.store import locate
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    import tokenizers
    import torch

_HUB = "https://huggingface.co/cointegrated/rubert-tiny2/resolve/e8ed3b0c8bbf4fb6984c3de043bf7d2f4e5969ae"
_WEIGHTS = (
    Weights(
        source="https://huggingface.co/cointegrated/rubert-tiny2",
        revision="e8ed3b0c8bbf4fb6984c3de043bf7d2f4e5969ae",
        licence="MIT",
        files=(
            File("model.safetensors", "26ebb6db2a68593c54c74902d7a74f332da66297693f965cc9f1b0af4abf3894",
                 f"{_HUB}/model.safetensors", 117_529_600),
            File("config.json", "adee8b3e344bcb8379f44d0b3577c267d52881341e05d973c43e49974778dfff",
                 f"{_HUB}/config.json", 693),
            File("tokenizer.json", "45cc9f974145661db6bc020795839d1dc371adc19a9c78b910393209b4fe5efc",
                 f"{_HUB}/tokenizer.json", 1_741_842),
        ),
    ),
    # The same network saved again without its pre-training heads, as it lies in a public repository.
    Weights(
        source="https://github.com/s7on1250/e_lan_v_prod, models/rubert-tiny2",
        revision="79738739abbf0522e3a5ec6d1e15e900371ba1bc",
        licence="MIT",
        files=(
            File("model.safetensors", "c047aec91f35ff1c2df531a5d2158d95bd9d7aa27b9377c9bf3c6de3a58d0419",
                 bytes=116_781_184),
            File("config.json", "8a01e127b432582ad728547f422ae2fda38ed496a6625cb98242767802504371", bytes=684),
            File("tokenizer.json", "139995a730139fb2158226e69c5879159c020a71c33c87d65124914663f618ad",
                 bytes=2_413_691),
        ),
    ),
)  # fmt: skip


RUBERT_TINY2 = Card(
    name="text_rubert_tiny2",
    version=1,
    modality="text",
    doc="sentence vector of rubert-tiny2: its first token, brought to length 1",
    licence="MIT",
    source="https://huggingface.co/cointegrated/rubert-tiny2",
    dim=312,
    unit=True,
    weights=_WEIGHTS,
    backend="openvino",
    precision="bf16",
    precisions=("bf16", "f32"),
    tolerance=5e-3,
    parameters=29_096_112,
    profiles=frozenset({"standard"}),
    settings=(("max_tokens", 512), ("pooling", "cls")),
    batch_rows=1024,
    notes="A text is read as far as its 512th token, about 2,500 Russian characters; the rest has no effect.",
)


@register(RUBERT_TINY2)
def bert(card: Card, weights: Weights | None) -> Run:
    """Load an encoder: n texts -> (n, dim) float32, each of Euclidean length 1.

    ``card.settings``: ``max_tokens``, where texts are cut, and ``pooling``, what stands for the text: ``cls``, its
    first token, or ``mean``, all its tokens. The weights' files: ``config.json``, ``tokenizer.json`` and
    ``model.safetensors``. Raises as ``store.locate``; WrongWeights too where the files do not make up the card's
    network.
    """
    if weights is None:
        raise ValueError(f"{card.name}: an encoder needs weights, and its card names none")
    files = locate(card.name, weights)
    settings = dict(card.settings)
    tokens = tokenizer(card.name, files, settings["max_tokens"])
    net = network(
        _module(card, files, settings["pooling"]),
        INPUTS,
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(texts: Sequence[str]) -> np.ndarray:
        return rows(net, tokens, texts, card.dim or 0)

    return run


def rows(net: Network, tokens: tokenizers.Tokenizer, texts: Sequence[str], width: int) -> np.ndarray:
    """What a network gives for each text: n texts -> (n, width) float32."""
    ids = [np.array(e.ids, np.int32) for e in tokens.encode_batch_fast(list(texts), add_special_tokens=True)]
    out = np.empty((len(ids), width), np.float32)
    groups = list(by_tokens(ids))
    for group, found in zip(groups, net(padded([ids[i] for i in group]) for group in groups), strict=True):
        out[group] = found
    return out


def _module(card: Card, files: Mapping[str, Path], pooling: str) -> torch.nn.Module:
    """(rows, tokens) ids and mask -> (rows, dim)."""
    model = encoder(card, files, card.dim)
    return _bert(model, pooling) if model.config.model_type == "bert" else _other(model, pooling)


def _other(model: Any, pooling: str) -> torch.nn.Module:
    import torch
    from torch.nn.functional import normalize

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.model(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state
            pooled = (hidden * mask[:, :, None]).sum(dim=1) if pooling == "mean" else hidden[:, 0]
            return normalize(pooled, dim=-1)

    return Pooled()


def _bert(model: Any, pooling: str) -> torch.nn.Module:
    """BERT's layers one by one: those of the last that nothing reads are left out."""
    import torch
    from torch.nn.functional import normalize, scaled_dot_product_attention

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = model.embeddings
            self.layers = model.encoder.layer

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.embeddings(input_ids=ids)
            bias = (mask[:, None, None, :] - 1.0) * 1e4  # exp(-10,000) is 0 in float32 and in bf16
            if pooling == "mean":
                for layer in self.layers:
                    hidden = layer(hidden, bias)
                pooled = (hidden * mask[:, :, None]).sum(dim=1)  # a sum: its direction is the mean's
            else:
                for layer in self.layers[:-1]:
                    hidden = layer(hidden, bias)
                pooled = first_token(self.layers[-1], hidden, bias)
            return normalize(pooled, dim=-1)

    def first_token(layer: Any, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """The layer's output for the first token alone: nothing reads the others, a quarter of all the work."""

        def heads(linear: Any, states: torch.Tensor) -> torch.Tensor:
            return torch.unflatten(linear(states), -1, (attention.num_attention_heads, -1)).transpose(1, 2)

        attention, first = layer.attention.self, hidden[:, :1]
        query, key, value = heads(attention.query, first), heads(attention.key, hidden), heads(attention.value, hidden)
        context = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended = layer.attention.output(context.transpose(1, 2).flatten(2), first)
        return torch.squeeze(layer.feed_forward_chunk(attended), 1)

    return Pooled()
