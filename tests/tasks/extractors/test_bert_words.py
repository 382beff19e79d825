"""A word's vector is the mean of its pieces in its sentence, so that a word in two senses has two vectors.

rubert-tiny2's own weights can't be shipped: the mechanics are tested on a small BERT with fixed random weights, the
senses where the weights are in the model store.
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
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import MissingWeights, choose
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
    """The lecture's: where rubert-tiny2's weights are in the model store."""
    if REAL is None:
        monkeypatch.delenv("OTZYV_MODELS", raising=False)
    else:
        monkeypatch.setenv("OTZYV_MODELS", REAL)
    try:
        run = text_bert_word(TEXT_BERT_WORD, choose(TEXT_BERT_WORD))
    except MissingWeights:
        pytest.skip("rubert-tiny2's weights are not in the model store")
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
