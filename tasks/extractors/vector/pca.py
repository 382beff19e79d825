"""The vectors of any table in fewer dimensions, by principal components."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from otzyv.schemas.errors import NotFound
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.fitted import Artefact, TooLittle, unpack
from otzyv.tasks.models.weights import Weights

PCA = "pca_"
"""What the name of an extractor begins with whose vectors are reduced ones."""
DIM = 32
ROWS_AT_ONCE = 1024
"""Vectors that one step of the incremental fit sees. Ross, Lim, Lin and Yang, "Incremental learning for robust visual
tracking" (IJCV 2008), as scikit-learn has it."""


def of(source: Card) -> Extractor:
    """The extractor that reduces the vectors of another one. LookupError where that has none."""
    if source.dim is None:
        raise NotFound(f"{source.name} has no vector to reduce: its columns are {_columns(source)}")
    card = Card(
        name=PCA + source.name,
        version=1,
        modality="vector",
        doc=f"the first principal components of {source.name}",
        licence=source.licence,
        source="https://scikit-learn.org, IncrementalPCA",
        dim=min(DIM, source.dim),
        settings=(("rows_at_once", ROWS_AT_ONCE),),
        batch_rows=ROWS_AT_ONCE,
        fitted=True,
        reads=source,
        notes=f"Centred, not whitened. It reads the table {source.name}, which must be made first.",
    )
    return Extractor(card, pca, fit)


def fit(card: Card, vectors: Iterable[np.ndarray]) -> Artefact:
    """Mean and components of the vectors, and the share of their variance that each component explains.

    Raises TooLittle with fewer vectors than components.
    """
    from sklearn.decomposition import IncrementalPCA
    from threadpoolctl import threadpool_limits

    assert card.dim is not None
    model = IncrementalPCA(card.dim)
    count, remaining = 0, iter(vectors)
    with threadpool_limits(1):  # another number of threads adds up in another order
        while part := list(itertools.islice(remaining, ROWS_AT_ONCE)):
            count += len(part)
            if count < card.dim:
                raise TooLittle(f"{card.name}: {count} vectors are too few for {card.dim} components")
            model.partial_fit(np.stack(part).astype(np.float64))
    if not count:
        raise TooLittle(f"{card.name}: no vectors to learn from")
    shares = model.explained_variance_ratio_
    return Artefact(
        {"mean": model.mean_, "components": model.components_, "explained_variance_ratio": shares},
        {"vectors": count, "explained_variance": round(float(shares.sum()), 6)},
    )


def pca(card: Card, weights: Weights | None) -> Run:
    """n vectors -> (n, dim) float32. Raises WeightsError."""
    learned = unpack(card, weights)
    mean, components = learned.arrays["mean"], learned.arrays["components"]

    def run(vectors: Sequence[np.ndarray]) -> np.ndarray:
        centred = np.stack(vectors).astype(np.float64) - mean
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite stays so, and its row is refused
            return np.asarray(centred @ components.T, np.float32)

    return run


def _columns(card: Card) -> str:
    return ", ".join(column.name for column in card.value_columns)
