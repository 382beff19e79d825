"""What fitted extractors learn: the same bytes from the same contents, and what scikit-learn and gensim would say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from otzyv.tasks.extractors import get, names
from otzyv.tasks.extractors.contract.fitting import CORPUS, contents_to_learn, fitted, vectors
from otzyv.tasks.extractors.fitted import NeverFitted, OutOfDate, TooLittle, unpack
from otzyv.tasks.extractors.registry import in_order
from otzyv.tasks.extractors.text.autoencoder import TEXT_AUTOENCODER
from otzyv.tasks.extractors.text.bag_of_words import TEXT_COUNT, TEXT_ONEHOT, TEXT_TFIDF
from otzyv.tasks.extractors.text.lemmas import lemmas

LEARNING = (*(name for name in names() if get(name).fit), "pca_text_navec")
SAID = "курс понятный понятный неведомое"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))


def run(name: str, contents: Sequence[Any], learned_from: Sequence[Any] | None = None) -> Any:
    extractor = get(name)
    return extractor.load(extractor.card, fitted(extractor, learned_from))(contents)


def dense(batch: pa.RecordBatch, size: int) -> np.ndarray:
    rows = np.zeros((batch.num_rows, size))
    for row, (places, values) in enumerate(zip(batch["indices"], batch["values"], strict=True)):
        rows[row, places.as_py()] = values.as_py()
    return rows


def test_the_same_contents_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Whatever the seed of the hashes, and however many threads there are: there is work for more than one."""
    program = (
        "from otzyv.tasks.extractors.contract.fitting import fitted, vectors\n"
        "from tests.tasks.extractors.texts import many_texts\n"
        "from otzyv.tasks.extractors import get\n"
        "for name in {names}: print(name, fitted(get(name), {contents}).files[0].sha256)"
    )
    texts = program.format(names=LEARNING[:-1], contents="many_texts()[: 300 if name == 'text_autoencoder' else None]")
    program = f"{texts}\n{program.format(names=LEARNING[-1:], contents='vectors(300, 1500)')}"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OTZYV_MODELS": str(tmp_path / seed)},
        )
        for seed, threads in (("1", "1"), ("2", "2"))
    ]
    said = [process.communicate()[0] for process in running]
    assert said[0] == said[1]
    assert len({*said[0].split()}) == 2 * len(LEARNING)


@pytest.mark.parametrize("name", LEARNING)
def test_one_that_was_never_fitted_names_the_command(name: str) -> None:
    extractor = get(name)
    with pytest.raises(
        NeverFitted, match=rf"{name} .* never fitted .*`otzyv fit {name} --lake URI --from DAY --to DAY`"
    ):
        extractor.load(extractor.card, None)


def test_what_was_fitted_otherwise_is_refused() -> None:
    extractor = get("text_count")
    weights = fitted(extractor)
    for changed in ({"version": 2}, {"settings": (*extractor.card.settings, ("least_texts", 3))}):
        card = dataclasses.replace(extractor.card, **changed)
        with pytest.raises(OutOfDate, match=r"otzyv fit text_count .*otzyv promote text_count"):
            extractor.load(card, weights)


@pytest.mark.parametrize("name", LEARNING)
def test_too_little_to_learn_from_is_told(name: str) -> None:
    extractor = get(name)
    for contents in ([], [next(iter(contents_to_learn(extractor.card)))]):
        with pytest.raises(TooLittle, match=name):
            fitted(extractor, contents)


def test_tfidf_counts_and_presence_are_scikit_learns_on_lemmas() -> None:
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    texts = [*CORPUS, SAID, "ни одного знакомого"]
    theirs = {
        TEXT_TFIDF.name: TfidfVectorizer(analyzer=lemmas, sublinear_tf=True, min_df=2),
        TEXT_COUNT.name: CountVectorizer(analyzer=lemmas, min_df=2),
        TEXT_ONEHOT.name: CountVectorizer(analyzer=lemmas, min_df=2, binary=True),
    }
    for name, vectorizer in theirs.items():
        expected = vectorizer.fit(CORPUS).transform(texts).toarray()
        np.testing.assert_allclose(dense(run(name, texts), expected.shape[1]), expected, atol=1e-6)


def test_a_row_says_which_words_occur_and_how_many_are_known() -> None:
    weights = fitted(get("text_count"))
    words = unpack(TEXT_COUNT, weights).arrays["words"].tobytes().decode().split("\n")
    batch = get("text_count").load(TEXT_COUNT, weights)([SAID, "неведомое"])
    assert isinstance(batch, pa.RecordBatch)
    (places, nothing), (values, _) = batch["indices"].to_pylist(), batch["values"].to_pylist()
    assert {words[place]: value for place, value in zip(places, values, strict=True)} == {"курс": 1.0, "понятный": 2.0}
    assert nothing == []
    assert batch["known"].to_pylist() == [0.75, 0.0]


def test_the_vocabulary_holds_the_words_of_most_texts_and_among_equals_the_first() -> None:
    card = dataclasses.replace(TEXT_COUNT, settings=(("vocabulary", 3), ("least_texts", 2)))
    extractor = get("text_count")
    assert extractor.fit is not None
    learned = extractor.fit(card, ["яма яма яма яма", "яма гора", "гора вода", "вода бочка", "бочка гора"])
    assert learned.arrays["words"].tobytes().decode().split("\n") == ["бочка", "вода", "гора"]
    assert learned.arrays["within"].tolist() == [2, 2, 3]


def test_words_that_keep_the_same_company_have_near_vectors() -> None:
    """«Кошка» and «собака» stand among the same words, «трактор» among others."""
    verbs, places = ("спать", "есть", "играть", "бегать", "гулять"), ("поле", "луг", "огород", "склон", "берег")
    animals = [f"моя {one} любит {a} и {b}" for one in ("кошка", "собака") for a in verbs for b in verbs]
    machines = [f"старый трактор пашет {a} потом {b}" for a in places for b in places]
    texts = [*animals, *machines] * 50
    batch = run("text_word2vec", ["кошка", "собака", "трактор", "кошка собака", "ыыъъ"], texts)
    cat, dog, tractor, both, unknown = np.array(batch["embedding"].to_pylist())
    assert cosine(cat, dog) > cosine(cat, tractor) + 0.2
    np.testing.assert_allclose(both, (cat + dog) / 2, atol=1e-6)  # they are equally rare
    assert not unknown.any()
    assert batch["known"].to_pylist() == [1, 1, 1, 1, 0]


def test_the_autoencoder_keeps_apart_what_differs_and_together_what_is_alike() -> None:
    course, same, other = np.array(
        run("text_autoencoder", [CORPUS[0], CORPUS[0].upper().lower(), CORPUS[5]])["embedding"].to_pylist()
    )
    np.testing.assert_array_equal(course, same)
    assert cosine(course, other) < 0.5
    assert unpack(TEXT_AUTOENCODER, fitted(get("text_autoencoder"))).facts["explained"] > 0.9


def test_components_are_those_of_all_vectors_at_once() -> None:
    """In steps of 1,024 vectors as in one, up to the sign of an axis; and the shares explained are told."""
    data = vectors(300, 2_049)  # the last step sees one
    extractor = get("pca_text_navec")
    weights = fitted(extractor, data)
    learned = unpack(extractor.card, weights)
    centred = data.astype(np.float64) - data.mean(axis=0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    shares = spread**2 / np.square(spread).sum()
    np.testing.assert_allclose(learned.arrays["explained_variance_ratio"][:20], shares[:20], rtol=0.02)
    assert learned.facts["explained_variance"] == pytest.approx(shares[:32].sum(), rel=0.01)
    found = extractor.load(extractor.card, weights)(list(data[:50]))
    for axis in range(5):
        assert abs(cosine(np.asarray(found)[:, axis], (centred[:50] @ axes[axis]))) > 0.999


def test_one_that_reads_anothers_table_comes_after_it() -> None:
    assert in_order(["pca_text_navec", "a", "text_navec", "pca_pca_b", "pca_b"]) == (
        "a", "text_navec", "pca_text_navec", "pca_b", "pca_pca_b",
    )  # fmt: skip
    with pytest.raises(LookupError, match="sentiment_mini has no vector"):
        get("pca_sentiment_mini")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
