"""The model that ships can be made again, and its card says of it what is true."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otzyv.tasks.extractors.text.sentiment import MINI, sentiment
from otzyv.tasks.text.clean import clean
from otzyv.tasks.training import sentiment as training
from otzyv.tasks.training.sentiment import LABELS, LARGEST, POLARITY, Settings, examples, polarity, train

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "text" / "ru_goemotions"
FOLDER = Path(sys.modules[sentiment.__module__].__file__ or "").parent
CARD = json.loads((FOLDER / "sentiment_mini.json").read_text("utf-8"))
SMALL = Settings(vectors=0, dim=8, lr=0.5, epoch=10, bucket=2_000, written=0.2)


@pytest.fixture
def comments(tmp_path: Path) -> Path:
    """A made-up file in ru-goemotions' form; numbers are those of its 28 emotions."""
    said = {"[0]": "красиво и умно", "[ 3 11]": "гадко и глупо", "[15]": "спасибо за ответ", "[27]": "идет дождь"}
    with (tmp_path / "comments.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["ru_text", "text", "labels", "id"])
        rows.writerows([f"{text}, {i}!", "", labels, i] for i in range(40) for labels, text in said.items())
    return tmp_path


def test_the_same_data_gives_the_same_bytes_and_a_card_that_fits(comments: Path, tmp_path: Path) -> None:
    first, second = (train([comments], tmp_path / name / "m.bin", candidates=[SMALL]) for name in ("a", "b"))
    assert first.model.read_bytes() == second.model.read_bytes()
    card = json.loads(first.card.read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256(first.model.read_bytes()).hexdigest()
    assert card["bytes"] == first.model.stat().st_size <= LARGEST
    assert card["data"][0]["rows"] == {"negative": 40, "neutral": 40, "positive": 40, "speech": 40}
    assert first.held_out.macro_f1 > 0.9  # four kinds of sentences that a child tells apart
    assert first.held_out.rows < 60
    assert f"at most {LARGEST} bytes" in card["tried"]["rule"]
    assert [candidate["settings"]["bucket"] for candidate in card["tried"]["candidates"]] == [2_000]


def test_what_does_not_ship_is_not_chosen(comments: Path, tmp_path: Path) -> None:
    good = Settings(vectors=0, dim=8, lr=0.5, epoch=3, bucket=2_000, written=1, quantize=False)
    too_large, not_ova, poor = replace(good, bucket=10_000), replace(good, loss="softmax"), replace(good, epoch=1)
    largest = 320_000
    with pytest.raises(ValueError, match="no candidate has loss 'ova' and at most 320,000 bytes"):
        train([comments], tmp_path / "m.bin", candidates=[too_large, not_ova], largest=largest)
    report = train([comments], tmp_path / "m.bin", candidates=[too_large, not_ova, poor], largest=largest)
    assert report.settings == poor
    assert report.bytes <= largest
    large, softmax, chosen = report.tried
    assert large.bytes > largest >= softmax.bytes
    assert min(large.worth, softmax.worth) > chosen.worth, "either would be chosen if it could ship"
    assert f"at most {largest} bytes" in json.loads(report.card.read_text("utf-8"))["tried"]["rule"]


def test_starting_from_navec_tells_words_it_never_saw(comments: Path) -> None:
    rows = [row for row in examples([comments]) if not row.written]
    model = training._fit(rows, Settings(extra=2_000, epoch=20, bucket=2_000))
    new = ["изящно", "мерзко", "благодарю", "снег"]
    assert not set(new) & {word for row in rows for word in row.text.split()}
    labels, _ = model.predict(new)
    assert [label for (label,) in labels] == [f"__label__{x}" for x in ("positive", "negative", "speech", "neutral")]
    assert model.get_dimension() == 4  # as many as there are labels in these rows


def test_a_text_is_once_and_on_one_side(comments: Path) -> None:
    again = examples([comments, comments])
    assert again == examples([comments])
    assert max(Counter(row.text for row in again).values()) == 1
    assert {row.label for row in again if row.held_out} == set(LABELS)


def test_no_written_example_is_learned_from_its_double() -> None:
    """Else what is held out, or in another fold, would be known already. Keyboard noise has no such doubles."""
    from sklearn.feature_extraction.text import CountVectorizer

    with training.EXAMPLES.open(encoding="utf-8", newline="") as stream:
        rows = [(row["label"], f"  {clean(row['text']).plain}  ") for row in csv.DictReader(stream)]
    assert len({text for _, text in rows}) == len(rows)
    for label in sorted({*LABELS} - {"skip"}):
        texts = [text for other, text in rows if other == label]
        grams = CountVectorizer(analyzer="char", ngram_range=(3, 3), binary=True, lowercase=False).fit_transform(texts)
        shared = (grams @ grams.T).toarray()
        sizes = shared.diagonal()
        alike = np.triu(shared / (sizes[:, None] + sizes - shared), 1)
        first, second = np.unravel_index(alike.argmax(), alike.shape)
        assert alike.max() < 0.6, f"{label}: {texts[first]!r} and {texts[second]!r}"


def test_links_handles_and_masks_are_not_learned(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    text = "Ёлки, [ИМЯ]! Смотри https://example.org/x?y=1 и r/kurs у @ivan, почта a@b"
    path.write_text(f'ru_text,labels\n"{text}",[27]\n', encoding="utf-8")
    (row,) = (row for row in examples([path]) if not row.written)
    assert row.text == "елки смотри и у почта a b"


@given(st.sets(st.sampled_from(sorted(POLARITY)), min_size=1))
def test_polarity_is_one_label_or_a_contradiction(emotions: set[str]) -> None:
    labels = {POLARITY[emotion] for emotion in emotions}
    label = polarity(emotions)
    contradiction = "negative" in labels and bool(labels & {"positive", "speech"})
    assert (label is None) == contradiction
    assert label is None or label in labels
    assert label != "neutral" or labels == {"neutral"}


def test_scores_are_f1_by_its_definition() -> None:
    scores = training._scores(["negative", "negative", "positive", "neutral"], ["negative", *["positive"] * 3])
    assert scores.f1 == {"negative": 0.6667, "neutral": 0.0, "positive": 0.5}
    assert (scores.rows, scores.accuracy, scores.macro_f1) == (4, 0.5, 0.3889)


def test_data_that_is_not_ru_goemotions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \.csv file of ru-goemotions in"):
        examples([tmp_path])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.csv: ru-goemotions has the columns ru_text and labels"):
        examples([tmp_path])


def test_the_shipped_card_names_data_licence_and_figures() -> None:
    model = (FOLDER / CARD["file"]).read_bytes()
    assert (CARD["sha256"], CARD["bytes"]) == (hashlib.sha256(model).hexdigest(), len(model))
    assert CARD["bytes"] <= LARGEST
    assert "MIT" in CARD["licence"]
    assert set(CARD["held_out"]["ru_goemotions"]["f1"]) == {"negative", "neutral", "positive", "speech"}
    assert len(CARD["tried"]["candidates"]) == len(training.CANDIDATES)


@pytest.mark.skipif(not DATA.exists(), reason="ru-goemotions is not there (../shared)")
def test_the_shipped_model_does_as_well_as_its_card_says() -> None:
    rows = [row for row in examples([DATA], lambda text: clean(text).plain) if row.held_out and not row.written]
    said = sentiment(MINI, None)([row.text for row in rows]).column("label").to_pylist()  # type: ignore[union-attr]
    told = CARD["held_out"]["ru_goemotions"]
    scores = training._scores([row.label for row in rows], said)
    assert scores.rows == pytest.approx(told["rows"], abs=20)  # the cleaning rules may change a few texts
    assert scores.macro_f1 == pytest.approx(told["macro_f1"], abs=0.01)
