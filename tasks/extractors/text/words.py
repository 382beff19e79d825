"""Word vectors, averaged over a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.fitted import Artefact, TooLittle, joined, split, unpack
from otzyv.tasks.extractors.text.lemmas import DICTIONARY, lemma, lemmas
from otzyv.tasks.extractors.text.vocabulary import Numbers, Vocabulary
from otzyv.tasks.models.store import locate
from otzyv.tasks.models.weights import File, Weights

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

TEXT_WORD2VEC = replace(
    TEXT_NAVEC,
    name="text_word2vec",
    doc="mean of word vectors learned from the lake's own reviews, rare words weighing more",
    licence="LGPL-2.1 (gensim); the vectors are the lake's own",
    source="https://github.com/piskvorky/gensim; Mikolov et al., https://arxiv.org/abs/1310.4546",
    dim=100,
    weights=(),
    profiles=frozenset(),
    settings=(
        ("smoothing", SMOOTHING), ("window", 5), ("negative", 5), ("least_count", 3), ("epochs", 10),
        ("vocabulary", 50_000), ("lemmas", DICTIONARY),
    ),
    fitted=True,
)  # fmt: skip


@register(TEXT_NAVEC)
def text_navec(card: Card, weights: Weights | None) -> Run:
    """n texts -> n rows of embedding (300 float32) and known. Raises MissingWeights or WrongWeights."""
    (path,) = locate(card.name, weights or NAVEC).values()
    model = _navec(path)
    vocabulary = Vocabulary(_places(model))
    share = np.array(model.vocab.counts) / sum(model.vocab.counts)
    codes, indexes, parts, dim = model.pq.codes, model.pq.indexes, np.arange(model.pq.qdim), int(model.pq.dim)
    return _mean(vocabulary, share, lambda used: codes[parts, indexes[used]].reshape(len(used), dim))


def _navec(path: Path) -> Navec:
    """As navec's own ``load``, but without its tables for similarity: they cost 0.2 s and 60 MiB."""
    from navec.navec import META, PQ, PQ_, VOCAB, Meta, Navec, Tar, Vocab

    class Codes(PQ):  # type: ignore[misc]
        def precompute(self) -> None: ...

    with Tar(path) as tar:
        return Navec(*(part.from_file(tar.load(name)) for part, name in ((Meta, META), (Vocab, VOCAB), (Codes, PQ_))))


def _places(model: Navec) -> dict[str, int]:
    """Word as ``plain`` writes it -> its row. Of two spellings, with ё and е, the more frequent one stands for both."""
    counts, places = model.vocab.counts, dict(model.vocab.word_ids)
    for word in [word for word in places if "ё" in word]:  # few: to sort all by their counts takes ten times as long
        place, plain = places.pop(word), word.replace("ё", "е")
        places[plain] = max(place, places.get(plain, place), key=lambda each: (counts[each], each))
    return places


def fit_word2vec(card: Card, texts: Iterable[str]) -> Artefact:
    """Vectors of the lemmas that occur often enough in the plain texts. Raises TooLittle."""
    from gensim.models import Word2Vec

    settings = dict(card.settings)
    sentences = [lemmas(text) for text in texts]
    model = Word2Vec(
        vector_size=card.dim or 0, sg=1, window=settings["window"], negative=settings["negative"],
        min_count=settings["least_count"], max_final_vocab=settings["vocabulary"], epochs=settings["epochs"],
        seed=1, workers=1,  # two would take turns in any order
    )  # fmt: skip
    model.build_vocab(sentences)
    if not model.wv.index_to_key:
        raise TooLittle(f"{card.name}: no word occurs {settings['least_count']} times in {len(sentences)} texts")
    model.train(sentences, total_examples=model.corpus_count, epochs=model.epochs)
    words = model.wv.index_to_key
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words], np.int64)
    return Artefact(
        {"words": joined(words), "counts": counts, "vectors": model.wv.vectors.astype(np.float32)},
        {"texts": len(sentences), "words": len(words), "running_words": sum(map(len, sentences))},
    )


@register(TEXT_WORD2VEC, fit_word2vec)
def text_word2vec(card: Card, weights: Weights | None) -> Run:
    """n texts -> n rows of embedding (dim float32) and known. Raises WeightsError."""
    learned = unpack(card, weights)
    words = split(learned.arrays["words"])
    vocabulary = Vocabulary({word: place for place, word in enumerate(words)}, lemma)
    share = learned.arrays["counts"] / learned.facts["running_words"]
    return _mean(vocabulary, share, lambda used: learned.arrays["vectors"][used])


def _mean(vocabulary: Vocabulary, share: Numbers, vectors: Callable[[Numbers], Numbers]) -> Run:
    """A text's mean word vector. ``share`` (words,): of each word in a corpus; ``vectors``: of words by number."""
    from scipy.sparse import csr_array

    weight = SMOOTHING / (SMOOTHING + share)

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        places, starts, known = vocabulary.find(texts)
        used, columns = np.unique(places, return_inverse=True)
        # A row's words are added up in the text's order and in double, so that company changes no bit of it.
        matrix = csr_array((weight[used][columns], columns, starts), shape=(len(texts), len(used)))
        sums = matrix @ vectors(used).astype(np.float64)
        total = (matrix @ np.ones(len(used)))[:, None]
        mean = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0).astype(np.float32)
        offsets = np.arange(len(texts) + 1, dtype=np.int32) * mean.shape[1]
        return pa.record_batch(
            {"embedding": pa.ListArray.from_arrays(offsets, mean.ravel()), "known": pa.array(known, pa.float32())}
        )

    return run
