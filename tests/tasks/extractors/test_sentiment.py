"""Sentiment says exactly what dostoevsky says of the same text, whatever the text."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.text.sentiment import DOSTOEVSKY, LABELS, MINI, sentiment
from otzyv.tasks.inference import dostoevsky_tokens
from otzyv.tasks.inference.dostoevsky_tokens import ChunkTokenizer
from otzyv.tasks.models.store import MissingWeights, UnpinnedWeights, WrongWeights, record, weight_paths
from otzyv.tasks.models.weights import File
from otzyv.tasks.text.clean import clean
from otzyv.tasks.training.sentiment import EXAMPLES

EXPECTED = Path(__file__).parent / "cases" / "sentiment.txt"
(MODEL,) = weight_paths("sentiment_mini", MINI.weights[0]).values()
REVIEWS = Path(__file__).parents[3].parent / "shared" / "data" / "text" / "yandex_geo" / "yandex_geo_reviews_mit.csv"

EDGES = "-_‑–—−.,/\\"
hostile = st.text() | st.text("аБё z5 \t\n\r\x00\x1c\x85\u2028\u00a0\u0301²٣ΔžİſK😀!?…:;)(*«»" + EDGES, max_size=40)
chunky = st.lists(
    st.sampled_from(["5", "-3", "3-", "кто", "-то", "1,", ",5", "/2", "2/", "--", "...", "_a", ":-)", "yahoo!"])
)
texts = hostile | chunky.map(" ".join) | st.tuples(hostile, hostile).map("\n".join)


@pytest.fixture(scope="module")
def run() -> Run:
    return sentiment(MINI, None)


@pytest.fixture(scope="module")
def library() -> Any:
    """dostoevsky's own classes on the same file: tokens text by text, fastText's path of one text."""
    from dostoevsky.models import FastTextSocialNetworkModel
    from dostoevsky.tokenization import RegexTokenizer

    class Library(FastTextSocialNetworkModel):  # type: ignore[misc]
        MODEL_PATH = str(MODEL)

    return Library(RegexTokenizer())


def expected(library: Any, contents: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    scores, top = [], []
    for line in library.preprocess_input(list(contents)):
        ranked = library.model.f.predict(line + "\n", -1, 0.0, "strict")
        by_label = {label.removeprefix("__label__"): score for score, label in ranked}
        scores.append([by_label[label] for label in LABELS])
        top.append(ranked[0][1].removeprefix("__label__"))
    return np.array(scores).reshape(-1, len(LABELS)), top


def assert_same(run: Run, library: Any, contents: Sequence[str]) -> None:
    batch = run(contents)
    assert isinstance(batch, pa.RecordBatch)
    scores, top = expected(library, contents)
    ours = np.array([batch.column(label).to_pylist() for label in LABELS]).T.reshape(-1, len(LABELS))
    np.testing.assert_allclose(ours, scores, atol=1e-6, rtol=0)
    assert batch.column("label").to_pylist() == top


@settings(max_examples=500, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
@example(["5 -3", "-3", "a- b", "1, 5", "1 ,5", "1 / 2", "- -", "5 -\n- 5", ":- )", "кто -то"])
def test_tokens_are_dostoevskys(contents: list[str]) -> None:
    from dostoevsky.tokenization import RegexTokenizer

    ours, theirs = ChunkTokenizer(), RegexTokenizer()
    for text in [*contents, *contents]:
        assert ours.line(text) == " ".join(token for token, _ in theirs.split(text))


def test_memory_of_chunks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dostoevsky_tokens, "CHUNKS", 50)
    tokenizer = ChunkTokenizer()
    for number in range(1000):
        assert tokenizer.line(f"урок{number} {number}-й -{number} {'х' * 1000}{number}") == (
            f"урок {number} {number}-й -{number} {'х' * 1000} {number}"
        )
        assert len(tokenizer._known) <= 50
        assert all(len(key) <= dostoevsky_tokens.LONGEST for key in tokenizer._known)


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(texts, max_size=8))
def test_scores_and_labels_are_dostoevskys(run: Run, library: Any, contents: list[str]) -> None:
    assert_same(run, library, contents)


@pytest.mark.skipif(not REVIEWS.exists(), reason="real reviews are not there (../shared)")
def test_scores_and_labels_are_dostoevskys_on_real_reviews(run: Run, library: Any) -> None:
    with REVIEWS.open(encoding="utf-8", newline="") as stream:
        reviews = [row["text"] for row in csv.DictReader(stream)]
    assert_same(run, library, reviews)
    assert_same(run, library, [text.lower().replace(",", " ").replace(".", " ") for text in reviews])


def test_a_batch_is_what_the_card_says(run: Run) -> None:
    batch = run(["отличный курс", "", "ужасно\nскучно"])
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema == pa.schema([(column.name, column.type) for column in MINI.columns])
    for row in batch.to_pylist():
        label = row.pop("label")
        assert label in LABELS
        assert row[label] == max(row.values())
        assert all(0 <= score <= 1.0001 for score in row.values())
    assert run([]).num_rows == 0  # type: ignore[union-attr]


def test_the_shipped_model_says_what_it_said(run: Run) -> None:
    """Golden values: other ones need another version, or another model (whose sha256 is in the fingerprint)."""
    batch = run(
        ["это был худший курс в моей жизни", "курс состоит из десяти уроков", "фывапролдж", "большое спасибо артем"]
    )
    assert batch.column("label").to_pylist() == ["negative", "neutral", "skip", "speech"]  # type: ignore[union-attr]
    golden = {"negative": 0.880807, "neutral": 0.056662, "positive": 0.106701, "skip": 0.00001, "speech": 0.00001}
    first = batch.slice(0, 1).to_pylist()[0]  # type: ignore[union-attr]
    assert {label: first[label] for label in LABELS} == pytest.approx(golden, abs=2e-6)


def test_short_reviews_come_out_as_anybody_would_expect(run: Run) -> None:
    """85 in 100. The model that ships has 91, and 87 of those written after its training; the one before it had 71."""
    cases = [
        line.split(" => ") for line in EXPECTED.read_text("utf-8").splitlines() if " => " in line and line[0] != "#"
    ]
    texts = [clean(text).plain for text, _ in cases]
    with EXAMPLES.open(encoding="utf-8", newline="") as stream:
        assert not {clean(row["text"]).plain for row in csv.DictReader(stream)} & {*texts}
    said = run(texts).column("label").to_pylist()  # type: ignore[union-attr]
    wrong = [f"{text} => {label}" for (text, true), label in zip(cases, said, strict=True) if label != true]
    assert len(wrong) <= 0.15 * len(cases), "\n".join(wrong)


def test_dostoevskys_own_model_comes_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    with pytest.raises(
        MissingWeights, match=r"fasttext-social-network-model\.bin.*otzyv models pull sentiment_dostoev"
    ):
        sentiment(DOSTOEVSKY, None)
    place = tmp_path / DOSTOEVSKY.name / DOSTOEVSKY.weights[0].files[0].name
    place.parent.mkdir()
    shutil.copy(MODEL, place)  # its own file can't be had everywhere; any model of the five labels will do
    with pytest.raises(UnpinnedWeights, match="--allow-unpinned sentiment_dostoevsky"):
        sentiment(DOSTOEVSKY, None)
    record(DOSTOEVSKY.weights[0].files[0], place)  # as once it is allowed
    contents = ["отличный курс", "верните деньги"]
    assert sentiment(DOSTOEVSKY, None)(contents) == run(contents)


def test_a_model_of_other_labels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fasttext

    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    place = tmp_path / DOSTOEVSKY.name / DOSTOEVSKY.weights[0].files[0].name
    place.parent.mkdir()
    lines = tmp_path / "lines.txt"
    lines.write_text("__label__cat мяу\n__label__dog гав\n" * 20, encoding="utf-8")
    fasttext.train_supervised(str(lines), dim=2, bucket=0, minn=0, maxn=0, thread=1, verbose=0).save_model(str(place))
    record(DOSTOEVSKY.weights[0].files[0], place)
    with pytest.raises(ValueError, match="is not a model of the labels negative, neutral, positive, skip, speech"):
        sentiment(DOSTOEVSKY, None)


def test_a_shipped_model_with_another_sha256_is_refused() -> None:
    (weights,) = MINI.weights
    other = dataclasses.replace(weights, files=(File(weights.files[0].name, sha256="0" * 64),))
    with pytest.raises(WrongWeights, match=MODEL.name):
        sentiment(MINI, other)
