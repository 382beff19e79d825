"""A classifier's probabilities are those of plain transformers, under the card's labels in whatever order it has them.

The published weights can't be had here: what is tested is a small BERT with fixed random weights in their layout.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from otzyv.tasks.extractors.text.sentiment_bert import LABELS, RUBERT, classifier
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import WrongWeights
from tests.tasks.extractors.networks import files_in
from tests.tasks.extractors.test_bert import TEXTS, tiny

load_torchvision()
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification  # noqa: E402

CARD = dataclasses.replace(RUBERT, settings=(("max_tokens", 200),))
FILES = ("model.safetensors", "config.json", "tokenizer.json")
ORDER = ("positive", "negative", "neutral")


def test_the_card_is_of_the_network_that_is_published() -> None:
    config = BertConfig(
        vocab_size=29_564, hidden_size=312, num_hidden_layers=3, num_attention_heads=12, intermediate_size=600,
        max_position_embeddings=512, num_labels=3,
    )  # fmt: skip
    with torch.device("meta"):
        parameters = sum(each.numel() for each in BertForSequenceClassification(config).parameters())
    assert RUBERT.parameters == parameters
    assert RUBERT.weights[0].files[0].about == pytest.approx(4 * parameters, rel=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / CARD.name
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTZYV_MODELS", str(place.parent))
        yield place


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    tiny(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=256, initializer_range=0.3, id2label=dict(enumerate(ORDER)),
        label2id={label: place for place, label in enumerate(ORDER)},
    )  # fmt: skip
    torch.manual_seed(3)
    made = BertForSequenceClassification(config).eval()
    tensors = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    save_file(tensors | {"bert.embeddings.position_ids": torch.arange(256)[None]}, folder / "model.safetensors")
    (folder / "config.json").write_text(config.to_json_string())
    return made


def test_probabilities_are_those_of_plain_transformers(folder: Path, network: Any) -> None:
    found = classifier(CARD, files_in(folder, *FILES))(list(TEXTS))
    assert isinstance(found, pa.RecordBatch)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in TEXTS:
        with torch.inference_mode():
            logits = network(**tokenizer(text, truncation=True, max_length=200, return_tensors="pt")).logits[0]
        expected.append({label: float(p) for label, p in zip(ORDER, logits.softmax(0), strict=True)})
    assert len({max(row, key=lambda label: row[label]) for row in expected}) > 1  # else the labels would prove nothing
    for row, told in zip(found.to_pylist(), expected, strict=True):
        np.testing.assert_allclose([row[label] for label in LABELS], [told[label] for label in LABELS], atol=1e-4)
        assert row["label"] == max(LABELS, key=lambda label: row[label])


def test_a_network_of_other_labels_or_without_its_classifier_is_refused(folder: Path, network: Any) -> None:
    config = (folder / "config.json").read_text()
    stored = load_file(folder / "model.safetensors")
    (folder / "config.json").write_text(config.replace('"neutral"', '"skip"'))
    with pytest.raises(WrongWeights, match="tells positive, negative, skip, not a bert that tells negative, neutral"):
        classifier(CARD, files_in(folder, *FILES))
    (folder / "config.json").write_text(config)
    save_file({name: stored[name] for name in stored if "classifier" not in name}, folder / "model.safetensors")
    with pytest.raises(WrongWeights, match=r"model\.safetensors does not hold the bert of config\.json"):
        classifier(CARD, files_in(folder, *FILES))
    save_file(stored, folder / "model.safetensors")
