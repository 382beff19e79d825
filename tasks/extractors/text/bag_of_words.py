"""A text as the set of its words: whether each occurs, how often, or how much it tells (TF-IDF)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.fitted import Artefact, TooLittle, joined, split, unpack
from otzyv.tasks.extractors.text.lemmas import DICTIONARY, lemma, lemmas
from otzyv.tasks.extractors.text.vocabulary import Vocabulary
from otzyv.tasks.models.weights import Weights

VOCABULARY = 20_000
"""Most lemmas that are learned: those that occur in most texts."""
LEAST_TEXTS = 2
"""A lemma of a single text tells nothing of others, and is often a name."""

KNOWN = Column(name="known", type=pa.float32(), required=False, value=True, low=0, high=1,
               doc="share of the text's words that the vocabulary has")  # fmt: skip


def _columns(said: str, *, unit: bool = False) -> tuple[Column, ...]:
    return (
        Column(name="indices", type=pa.list_(pa.int32()), required=False, value=True, size=VOCABULARY,
               doc="numbers of the lemmas that occur"),
        Column(name="values", type=pa.list_(pa.float32()), required=False, value=True, places="indices", unit=unit,
               doc=said),
        KNOWN,
    )  # fmt: skip


def _settings(values: str) -> tuple[tuple[str, Any], ...]:
    return (("values", values), ("vocabulary", VOCABULARY), ("least_texts", LEAST_TEXTS), ("lemmas", DICTIONARY))


TEXT_ONEHOT = Card(
    name="text_onehot",
    version=1,
    modality="plain",
    doc="which words occur, as a sparse vector",
    licence="Apache-2.0",
    source="this project; lemmas by https://github.com/no-plagiarism/pymorphy3",
    columns=_columns("1 for each of them"),
    settings=_settings("presence"),
    batch_rows=2048,
    fitted=True,
    notes="The same lemma has the same number in every row made with one artefact, which lists them.",
)
TEXT_COUNT = replace(
    TEXT_ONEHOT,
    name="text_count",
    doc="how often words occur, as a sparse vector",
    columns=_columns("how often each occurs"),
    settings=_settings("counts"),
)
TEXT_TFIDF = replace(
    TEXT_ONEHOT,
    name="text_tfidf",
    doc="words by TF-IDF, as a sparse vector",
    source="https://scikit-learn.org, TfidfTransformer; lemmas by https://github.com/no-plagiarism/pymorphy3",
    columns=_columns("how often each occurs, on a logarithmic scale, times its rarity", unit=True),
    settings=_settings("tfidf"),
    notes="sublinear counts, smoothed idf, length 1; a text with no known word has no values.",
)


def fit(card: Card, texts: Iterable[str]) -> Artefact:
    """The lemmas that occur in most of the plain texts, and how rare each is. Raises TooLittle."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    settings = dict(card.settings)
    counter = CountVectorizer(analyzer=lemmas)
    try:
        counts = counter.fit_transform(texts)
    except ValueError as error:  # scikit-learn's word for not a single word
        raise TooLittle(f"{card.name}: no words to learn from") from error
    words = counter.get_feature_names_out()
    within = np.bincount(counts.indices, minlength=len(words))
    # The order among equals is the alphabet's, not that of a sort which depends on the processor.
    chosen = np.lexsort((words, -within))[: settings["vocabulary"]]
    chosen = np.sort(chosen[within[chosen] >= settings["least_texts"]])
    if not len(chosen):
        raise TooLittle(f"{card.name}: of {counts.shape[0]} texts no two have a word in common")
    rarity = TfidfTransformer(sublinear_tf=True).fit(counts[:, chosen]).idf_
    return Artefact(
        {"words": joined(words[chosen]), "within": within[chosen].astype(np.int64), "idf": rarity.astype(np.float64)},
        {"texts": counts.shape[0], "words": len(chosen)},
    )


class TfIdf:
    """Sparse rows of plain texts as an artefact of ``fit`` has learned them."""

    def __init__(self, learned: Artefact) -> None:
        from sklearn.feature_extraction.text import TfidfTransformer

        words = split(learned.arrays["words"])
        self.size = len(words)
        self._vocabulary = Vocabulary({word: place for place, word in enumerate(words)}, lemma)
        self._weigh = TfidfTransformer(sublinear_tf=True)
        self._weigh.idf_ = learned.arrays["idf"]

    def counts(self, texts: Sequence[str]) -> tuple[Any, np.ndarray[Any, Any]]:
        """How often each lemma occurs: a CSR matrix (n, words), places ascending; and the share of known words (n,)."""
        from scipy.sparse import csr_matrix

        places, starts, known = self._vocabulary.find(texts)
        counts = csr_matrix((np.ones(len(places)), places, starts.astype(np.int32)), (len(texts), self.size))
        counts.sum_duplicates()
        return counts, known

    def weighed(self, texts: Sequence[str]) -> tuple[Any, np.ndarray[Any, Any]]:
        """The same matrix with TF-IDF in place of the counts, each row of length 1."""
        counts, known = self.counts(texts)
        return self._weigh.transform(counts, copy=False), known


@register(TEXT_ONEHOT, fit)
@register(TEXT_COUNT, fit)
@register(TEXT_TFIDF, fit)
def bag_of_words(card: Card, weights: Weights | None) -> Run:
    """n plain texts -> n rows of indices, values and known. Raises WeightsError."""
    rows, kind = TfIdf(unpack(card, weights)), dict(card.settings)["values"]

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        matrix, known = rows.weighed(texts) if kind == "tfidf" else rows.counts(texts)
        values = np.ones(len(matrix.data)) if kind == "presence" else matrix.data
        starts = pa.array(matrix.indptr, pa.int32())
        return pa.record_batch(
            {
                "indices": pa.ListArray.from_arrays(starts, pa.array(matrix.indices, pa.int32())),
                "values": pa.ListArray.from_arrays(starts, pa.array(values, pa.float32())),
                "known": pa.array(known, pa.float32()),
            }
        )

    return run
