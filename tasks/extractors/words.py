"""Word vectors, averaged over a text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schemas.table import Column
from tasks.extractors.card import Card, File, Run, Weights
from tasks.extractors.registry import register
from tasks.extractors.store import locate

if TYPE_CHECKING:
    from navec import Navec

SMOOTHING = 1e-3
"""a in the weight a / (a + p) of a word whose share of a large corpus is p. Arora, Liang and Ma, "A simple but
tough-to-beat baseline for sentence embeddings" (ICLR 2017), section 5: 1e-3 to 1e-4 serve alike."""

NAVEC = Weights(
    source="package:natasha",
    revision="navec_news_v1_1B_250K_300d_100q",
    licence="MIT",
    files=(
        File(
            "data/emb/navec_news_v1_1B_250K_300d_100q.tar",
            "f07270833d78523edc5781538d67038e95b43975e4a7ae757c693b687f9cbfca",
            bytes=26_634_240,
        ),
    ),
)


TEXT_NAVEC = Card(
    name="text_navec",
    version=1,
    modality="plain",
    doc="mean of navec's word vectors, rare words weighing more",
    licence="MIT",
    source="https://github.com/natasha/navec",
    dim=300,
    columns=(
        Column(name="known", type=pa.float32(), required=False, value=True, low=0, high=1,
               doc="share of the text's words that have a vector"),
    ),
    weights=(NAVEC,),
    profiles=frozenset({"embedded", "standard"}),
    settings=(("smoothing", SMOOTHING),),
    notes="A text with no known word has known = 0 and a vector of zeros, so unit length is not promised.",
)  # fmt: skip


@register(TEXT_NAVEC)
def text_navec(card: Card, weights: Weights | None) -> Run:
    """n texts -> n rows of embedding (300 float32) and known. Raises MissingWeights or WrongWeights."""
    from navec import Navec
    from scipy.sparse import csr_array

    (path,) = locate(card.name, weights or NAVEC).values()
    model = Navec.load(path)
    places = _places(model)
    share = np.array(model.vocab.counts) / sum(model.vocab.counts)
    weight = SMOOTHING / (SMOOTHING + share)
    codes, indexes, parts, dim = model.pq.codes, model.pq.indexes, np.arange(model.pq.qdim), int(model.pq.dim)
    del model  # with its tables for similarity

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        found, words = [], []
        for text in texts:
            row = text.split()
            words.append(len(row))
            found.append([places[word] for word in row if word in places])
        lengths = np.array([len(row) for row in found], np.int64)
        used, columns = np.unique(np.fromiter(chain.from_iterable(found), np.int64), return_inverse=True)
        # A row's words are added up in the text's order and in double, so that company changes no bit of it.
        starts = np.concatenate([[0], np.cumsum(lengths)])
        matrix = csr_array((weight[used][columns], columns, starts), shape=(len(texts), len(used)))
        sums = matrix @ codes[parts, indexes[used]].reshape(len(used), dim).astype(np.float64)
        total = (matrix @ np.ones(len(used)))[:, None]
        vectors = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0).astype(np.float32)
        offsets = np.arange(len(texts) + 1, dtype=np.int32) * dim
        known = lengths / np.maximum(words, 1)
        return pa.record_batch(
            {"embedding": pa.ListArray.from_arrays(offsets, vectors.ravel()), "known": pa.array(known, pa.float32())}
        )

    return run


def _places(model: Navec) -> dict[str, int]:
    """Word as ``plain`` writes it -> its row. Of two spellings, with ё and е, the more frequent one stands for both."""
    counts = model.vocab.counts
    rarest_first = sorted(model.vocab.word_ids.items(), key=lambda item: counts[item[1]])
    return {word.replace("ё", "е"): place for word, place in rarest_first}
