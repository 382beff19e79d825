"""A BERT's vectors are those of plain transformers in float32, whatever else is in the batch.

rubert-tiny2's own weights can't be shipped: what is tested is a small BERT with fixed random weights, and where
../shared is there, rubert-tiny2's real tokenizer and shape with fixed random weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.text.bert import RUBERT_TINY2 as RUBERT
from otzyv.tasks.extractors.text.bert import bert
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import MissingWeights, WrongWeights
from otzyv.tasks.models.weights import Weights
from tests.tasks.extractors.networks import SHARED_RUBERT, files_in, save_tokenizer

load_torchvision()
from transformers import AutoTokenizer, BertConfig, BertForPreTraining, BertModel  # noqa: E402

TEXTS = (
    "Отличный курс! Большое вам спасибо, Артём.",
    "По-русски читать невозможно: ошибка на опечатке.",
    "ok",
    "",
    "Курс хорош, и не только для начинающих: " + "задачи, проекты и лекции. " * 12,
    "a b c",
    "Ужас, ужас, ужас",
)
HOSTILE = (
    "\0\0\0", "\u200b\u200d\ufeff", "👩‍👩‍👧‍👦" * 50, "ё" * 5000, "е\u0308" * 300, "\u202eтекст\u202c", "𝕬" * 200,
    "中文字" * 200, "\n\t\r\x0b\x85\u2028", "[CLS] [SEP] [PAD] [MASK]", "a" * 100_000, " " * 1000, "\U0010ffff\ufffe",
)  # fmt: skip


@cache
def _loaded(made: Made, card: Card) -> Callable[[list[str]], np.ndarray]:
    run = bert(card, made.weights)
    return lambda texts: np.asarray(run(texts))


@dataclass(frozen=True)
class Made:
    """A BERT in the model store, and the folder it lies in."""

    card: Card
    folder: Path

    @property
    def weights(self) -> Weights:
        return files_in(self.folder, "model.safetensors", "config.json", "tokenizer.json")

    def run(self, texts: list[str], **changes: Any) -> np.ndarray:
        return _loaded(self, dataclasses.replace(self.card, **changes))(texts)

    def plain(self, texts: list[str], *, pooling: str = "cls") -> np.ndarray:
        """What transformers gives for each text alone, in float32."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        model = BertModel(BertConfig.from_json_file(self.folder / "config.json"), add_pooling_layer=False).eval()
        stored = load_file(self.folder / "model.safetensors")
        model.load_state_dict({k.removeprefix("bert."): v for k, v in stored.items() if not k.startswith("cls.")})
        rows = []
        with torch.inference_mode():
            for text in texts:
                tokens = tokenizer(
                    text, truncation=True, max_length=dict(self.card.settings)["max_tokens"], return_tensors="pt"
                )
                hidden = model(**tokens).last_hidden_state[0]
                rows.append(torch.nn.functional.normalize(hidden[0] if pooling == "cls" else hidden.mean(0), dim=0))
        return torch.stack(rows).numpy()


def save_network(folder: Path, config: BertConfig) -> None:
    torch.manual_seed(11)
    config.initializer_range = 0.15  # wide enough for different texts to get different vectors
    save_file(BertModel(config, add_pooling_layer=False).state_dict(), folder / "model.safetensors")


def tiny(folder: Path) -> None:
    words = save_tokenizer(folder, ["курс ужас"])
    config = BertConfig(
        vocab_size=len(words), hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=256,
    )  # fmt: skip
    (folder / "config.json").write_text(config.to_json_string())
    save_network(folder, config)


def real(folder: Path) -> None:
    if not SHARED_RUBERT.is_dir():
        pytest.skip("../shared with rubert-tiny2's tokenizer is not here")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (folder / name).write_bytes((SHARED_RUBERT / name).read_bytes())
    save_network(folder, BertConfig.from_json_file(folder / "config.json"))


@pytest.fixture(scope="module", params=[tiny, real], ids=["tiny", "rubert"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    make: Callable[[Path], None] = request.param
    folder = tmp_path_factory.mktemp("store") / "text_test"
    folder.mkdir()
    make(folder)
    dim, tokens = (48, 200) if make is tiny else (312, 512)
    card = dataclasses.replace(RUBERT, name="text_test", dim=dim, settings=(("max_tokens", tokens), ("pooling", "cls")))
    return Made(card, folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("store") / "text_small"
    folder.mkdir()
    tiny(folder)
    return Made(
        dataclasses.replace(RUBERT, name="text_small", dim=48, settings=(("max_tokens", 200), ("pooling", "cls"))),
        folder,
    )


@pytest.fixture(autouse=True)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"made", "small"} & set(request.fixturenames):
        monkeypatch.setenv("OTZYV_MODELS", str(request.getfixturevalue(name).folder.parent))


@pytest.mark.parametrize(("precision", "cosine"), [("f32", 0.99999), ("bf16", 0.999)])
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_vectors_are_those_of_plain_transformers(made: Made, backend: str, precision: str, cosine: float) -> None:
    ours = made.run(list(TEXTS), backend=backend, precision=precision)
    theirs = made.plain(list(TEXTS))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-4)
    assert (ours * theirs).sum(axis=1).min() >= cosine
    assert np.abs(theirs @ theirs.T - np.eye(len(TEXTS))).max() < 0.995  # else the line above would prove nothing


def test_the_mean_of_all_tokens_can_be_asked_for(small: Made) -> None:
    ours = small.run(list(TEXTS), precision="f32", settings=(("max_tokens", 200), ("pooling", "mean")))
    assert (ours * small.plain(list(TEXTS), pooling="mean")).sum(axis=1).min() >= 0.99999
    assert (ours * small.plain(list(TEXTS))).sum(axis=1).min() < 0.99


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_vector_does_not_depend_on_the_rest_of_the_batch(made: Made, precision: str) -> None:
    many = [text + " " + "ужас, " * n for n in range(0, 60, 12) for text in TEXTS]
    together = made.run(many, precision=precision)
    order = random.Random(1).sample(range(len(many)), len(many))
    tolerance = 1e-5 if precision == "f32" else made.card.tolerance
    np.testing.assert_allclose(made.run([many[i] for i in order], precision=precision), together[order], atol=tolerance)
    for place in order[:8]:
        np.testing.assert_allclose(made.run([many[place]], precision=precision)[0], together[place], atol=tolerance)
    assert made.run([], precision=precision).shape == (0, made.card.dim)


def test_what_lies_behind_the_last_token_has_no_effect(small: Made) -> None:
    cut = dict(small.card.settings)["max_tokens"] - 2
    texts = ["ужас " * cut, "ужас " * cut + "курс", "ужас " * (cut - 1) + "курс"]
    same, same_too, other = small.run(texts, precision="f32")
    np.testing.assert_allclose(same, same_too, atol=1e-6)
    assert np.abs(same - other).max() > 1e-4


def test_hostile_texts_get_finite_vectors_of_length_one(made: Made) -> None:
    vectors = made.run(list(HOSTILE))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_a_file_with_pretraining_heads_gives_the_same_vectors(
    small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / small.folder.name
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((small.folder / name).read_bytes())
    model = BertForPreTraining(BertConfig.from_json_file(folder / "config.json"))
    model.bert.load_state_dict(load_file(small.folder / "model.safetensors"), strict=False)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state | {"bert.embeddings.position_ids": torch.arange(256)[None]}, folder / "model.safetensors")
    bare = small.run(list(TEXTS), backend="torch", precision="f32")
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    np.testing.assert_allclose(
        Made(small.card, folder).run(list(TEXTS), backend="torch", precision="f32"), bare, atol=1e-6
    )


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("unpickled",)


def test_pickle_is_refused_unread_and_so_is_a_network_of_another_shape(
    small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / small.folder.name
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((small.folder / name).read_bytes())
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    broken = Made(small.card, folder)
    state = load_file(small.folder / "model.safetensors")

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WrongWeights, match=r"text_small: model\.safetensors"):
        broken.run(["а"])
    torch.save(state, folder / "model.safetensors")
    with pytest.raises(WrongWeights, match=r"text_small: model\.safetensors"):
        broken.run(["а"])
    assert capsys.readouterr().out == ""

    lost = state.pop("encoder.layer.1.output.dense.weight")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WrongWeights, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        broken.run(["а"])
    save_file(state | {"encoder.layer.1.output.dense.weight": lost[:-1].clone()}, folder / "model.safetensors")
    with pytest.raises(WrongWeights, match="size mismatch"):
        broken.run(["а"])
    save_file(state | {"encoder.layer.1.output.dense.weight": lost}, folder / "model.safetensors")
    with pytest.raises(WrongWeights, match="48 dimensions, the card 312"):
        broken.run(["а"], dim=312)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(WrongWeights, match=r"text_small: tokenizer\.json"):
        broken.run(["а"])


def test_without_weights_the_error_names_the_file_its_place_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    with pytest.raises(MissingWeights) as error:
        bert(RUBERT, RUBERT.weights[0])
    for part in (
        "model.safetensors",
        str(tmp_path / RUBERT.name / "model.safetensors"),
        f"otzyv models pull {RUBERT.name}",
    ):
        assert part in str(error.value)


def test_the_card_tells_the_truth_about_the_network() -> None:
    if not SHARED_RUBERT.is_dir():
        pytest.skip("../shared with rubert-tiny2's config is not here")
    with torch.device("meta"):
        model = BertModel(BertConfig.from_json_file(SHARED_RUBERT / "config.json"), add_pooling_layer=False)
    assert RUBERT.parameters == sum(parameter.numel() for parameter in model.parameters())
    for file in RUBERT.weights[1].files[1:]:
        content = (SHARED_RUBERT / file.name).read_bytes()
        assert (file.sha256, file.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
