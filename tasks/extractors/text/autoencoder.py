"""A text's TF-IDF squeezed by a network into few numbers, from which it can be told again as well as may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.fitted import Artefact, TooLittle, unpack
from otzyv.tasks.extractors.text.bag_of_words import KNOWN, TEXT_TFIDF, TfIdf
from otzyv.tasks.extractors.text.bag_of_words import fit as fit_words
from otzyv.tasks.extractors.text.lemmas import DICTIONARY
from otzyv.tasks.models.weights import Weights

if TYPE_CHECKING:
    import torch

TEXT_AUTOENCODER = replace(
    TEXT_TFIDF,
    name="text_autoencoder",
    doc="TF-IDF squeezed by an autoencoder",
    source="https://pytorch.org; Hinton and Salakhutdinov, https://doi.org/10.1126/science.1127647",
    dim=64,
    columns=(KNOWN,),
    settings=(
        ("vocabulary", 5_000), ("least_texts", 2), ("lemmas", DICTIONARY), ("hidden", 512), ("epochs", 20),
        ("batch", 256), ("rate", 3e-3), ("seed", 1),
    ),
    notes="It learns its own vocabulary. Words -> 512 (tanh) -> 64; a linear layer tells the words again.",
)  # fmt: skip


def fit(card: Card, texts: Iterable[str]) -> Artefact:
    """Vocabulary, rarities and encoder. ``explained``: the share of variance that the decoder tells again, at the end.

    Raises TooLittle.
    """
    import torch

    remembered = list(texts)
    if len(remembered) < 2:
        raise TooLittle(f"{card.name}: {len(remembered)} texts are too few to learn from")
    words = fit_words(card, remembered)
    rows, _ = TfIdf(words).weighed(remembered)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)  # another number of threads adds up in another order
    torch.use_deterministic_algorithms(True)
    try:
        encoder, explained = _train(rows, card)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
    return Artefact({**words.arrays, **encoder}, {**words.facts, "explained": explained})


@register(TEXT_AUTOENCODER, fit)
def text_autoencoder(card: Card, weights: Weights | None) -> Run:
    """n plain texts -> n rows of embedding (dim float32) and known. Raises WeightsError."""
    learned = unpack(card, weights)
    tfidf, array = TfIdf(learned), learned.arrays

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        rows, known = tfidf.weighed(texts)
        hidden = np.tanh(rows.astype(np.float32) @ array["words.weight"] + array["words.bias"])
        vectors = hidden @ array["code.weight"].T + array["code.bias"]
        offsets = np.arange(len(texts) + 1, dtype=np.int32) * vectors.shape[1]
        return pa.record_batch(
            {"embedding": pa.ListArray.from_arrays(offsets, vectors.ravel()), "known": pa.array(known, pa.float32())}
        )

    return run


def _train(rows: Any, card: Card) -> tuple[dict[str, np.ndarray], float]:
    """The encoder's arrays for TF-IDF rows (CSR, n x words), and the share of their variance that is told again."""
    import torch

    settings, dim = dict(card.settings), card.dim or 0
    chance = torch.Generator().manual_seed(settings["seed"])
    words, hidden = rows.shape[1], settings["hidden"]

    def drawn(*shape: int, scale: float) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.randn(*shape, generator=chance) * scale)

    weights = {
        "words.weight": drawn(words, hidden, scale=1.0),
        "words.bias": drawn(hidden, scale=0.0),
        "code.weight": drawn(dim, hidden, scale=hidden**-0.5),
        "code.bias": drawn(dim, scale=0.0),
        "told.weight": drawn(words, dim, scale=0.1 * dim**-0.5),
        "told.bias": drawn(words, scale=0.0),
    }
    optimizer = torch.optim.Adam(weights.values(), lr=settings["rate"])
    for _ in range(settings["epochs"]):
        order = torch.randperm(rows.shape[0], generator=chance).numpy()
        for start in range(0, len(order), settings["batch"]):
            loss = _lost(rows[order[start : start + settings["batch"]]], weights).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    with torch.no_grad():
        parts = (rows[start : start + settings["batch"]] for start in range(0, rows.shape[0], settings["batch"]))
        lost = sum(float(_lost(part, weights).sum()) for part in parts)
    variance = rows.multiply(rows).sum() - rows.shape[0] * np.square(np.asarray(rows.mean(axis=0))).sum()
    encoder = {name: array.detach().numpy() for name, array in weights.items() if not name.startswith("told")}
    return encoder, round(1 - lost / float(variance), 4) if variance > 0 else 0.0


def _lost(rows: Any, weights: dict[str, torch.nn.Parameter]) -> torch.Tensor:
    """Squared distance of each row from what is told of it: (n,)."""
    import torch
    from torch.nn.functional import embedding_bag, linear

    # The first layer adds up the rows of its matrix that the words name: most of a dense product would be zeros.
    places, starts = (
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(rows.indptr[:-1].astype(np.int64)),
    )
    values = torch.from_numpy(rows.data.astype(np.float32))
    summed = embedding_bag(places, weights["words.weight"], starts, mode="sum", per_sample_weights=values)
    code = linear(torch.tanh(summed + weights["words.bias"]), weights["code.weight"], weights["code.bias"])
    told = linear(code, weights["told.weight"], weights["told.bias"])
    return (told - torch.from_numpy(rows.toarray().astype(np.float32))).square().sum(dim=1)
