"""text_navec: what the mean of word vectors is, and that it stays what it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.text.words import NAVEC, SMOOTHING, TEXT_NAVEC, text_navec
from otzyv.tasks.models import store


@pytest.fixture(scope="module")
def run() -> Run:
    return text_navec(TEXT_NAVEC, NAVEC)


def rows(run: Run, texts: Sequence[str]) -> tuple[np.ndarray, list[float]]:
    batch = run(texts)
    assert isinstance(batch, pa.RecordBatch)
    return np.array(batch["embedding"].to_pylist(), np.float32).reshape(len(texts), 300), batch["known"].to_pylist()


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_golden_values(run: Run) -> None:
    """Another vector for the same text is another version of the card."""
    ((vector,), known) = rows(run, ["отличный хороший курс"])
    assert TEXT_NAVEC.version == 1
    np.testing.assert_allclose(vector[:5], [0.0144935, 0.0425681, 0.1563714, 0.2150020, -0.2232481], atol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(4.737685, abs=1e-5)
    assert known == [1.0]


def test_texts_of_like_meaning_lie_nearer(run: Run) -> None:
    course, lesson, tractor = rows(run, ["отличный хороший курс", "прекрасный урок", "трактор сломался в поле"])[0]
    assert cosine(course, lesson) > cosine(course, tractor) + 0.2


def test_the_vector_is_the_mean_weighted_by_rarity(run: Run) -> None:
    """Against the formula, word by word, with counts and vectors read by navec itself."""
    from navec import Navec

    (path,) = store.locate("text_navec", NAVEC).values()
    navec = Navec.load(path)
    words = ["в", "школе", "и", "в", "институте", "учат", "python"]
    share = np.array([navec.vocab.count(word) for word in words]) / sum(navec.vocab.counts)
    weights = SMOOTHING / (SMOOTHING + share)
    expected = np.average([navec[word] for word in words], axis=0, weights=weights)
    np.testing.assert_allclose(rows(run, [" ".join(words)])[0][0], expected, atol=1e-6)


def test_a_word_is_known_in_the_spelling_of_plain(run: Run) -> None:
    """The vectors have «недочётах» alone, «намёки» and «намеки», «ещё» and «еще»; plain has е alone."""
    from navec import Navec

    (path,) = store.locate("text_navec", NAVEC).values()
    navec = Navec.load(path)
    vectors, known = rows(run, ["недочетах", "намеки", "еще"])
    assert known == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(vectors, [navec["недочётах"], navec["намёки"], navec["еще"]], atol=1e-6)


def test_unknown_words_count_as_unknown_and_leave_no_trace(run: Run) -> None:
    vectors, known = rows(run, ["курс ыыъъ", "курс", "ыыъъ йцфж", ""])
    assert known == [0.5, 1.0, 0.0, 0.0]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not vectors[2:].any()


def test_company_changes_no_bit_of_a_row(run: Run) -> None:
    words = ["отличный", "понятный", "скучный", "долгий", "ыыъъ"]
    texts = ["", *(" ".join(["курс", *words[first : first + size]]) for first in range(5) for size in range(5))]
    together = run(texts)
    assert isinstance(together, pa.RecordBatch)
    alone = [run([text]) for text in texts]
    assert pa.Table.from_batches(alone).combine_chunks().to_batches()[0].equals(together)
    assert pa.Table.from_batches([run([])]).schema == together.schema
    assert together.schema == pa.schema([(c.name, c.type) for c in TEXT_NAVEC.value_columns])


def test_other_vectors_under_the_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    file = tmp_path / "text_navec" / "navec.tar"
    file.parent.mkdir()
    file.write_bytes(b"not these")
    swapped = dataclasses.replace(
        NAVEC, source="elsewhere", files=(dataclasses.replace(NAVEC.files[0], name="navec.tar"),)
    )
    with pytest.raises(store.WrongWeights, match="has sha256"):
        text_navec(TEXT_NAVEC, swapped)
