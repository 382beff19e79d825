"""An AST's vector is that of plain transformers in float32, window by window.

Its own weights can't be shipped: what is tested are a small network with fixed random weights, and the published
layout, name by name in full size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from otzyv.tasks.extractors.audio.sound_events import AST, RENAMED, sound_events
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import WrongWeights
from otzyv.tasks.models.weights import Weights
from tests.tasks.extractors.networks import files_in

load_torchvision()
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel  # noqa: E402

Floats = np.ndarray[Any, np.dtype[np.float32]]
SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_length": 128,
}
CARD = dataclasses.replace(AST, dim=48, precision="f32")
WINDOW = 400 + 160 * 127


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("models")
        patch.setenv("OTZYV_MODELS", str(root))
        yield root / CARD.name


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    """A small network with a classifier, stored by transformers under the published names."""
    torch.manual_seed(0)
    network = ASTForAudioClassification(ASTConfig(**SMALL, num_labels=3)).eval()
    torch.nn.init.normal_(network.audio_spectrogram_transformer.embeddings.position_embeddings)
    network.save_pretrained(folder)
    return network.audio_spectrogram_transformer


def files(folder: Path) -> Weights:
    return files_in(folder, "model.safetensors", "config.json")


def loaded(folder: Path, card: Card) -> Callable[[list[Floats]], Floats]:
    run = sound_events(card, files(folder))
    return lambda recordings: np.asarray(run(recordings))


def noise(length: int, seed: int = 0) -> Floats:
    samples = 0.1 * np.random.default_rng((seed, length)).standard_normal(length)
    return np.asarray(samples.clip(-1, 1), np.float32)


def expected(network: Any, samples: Floats) -> Floats:
    """What transformers' own preprocessing and network give."""
    heard = np.pad(samples, (0, max(0, 400 - len(samples))))
    with pytest.warns(UserWarning, match="mel filter"):
        extractor = ASTFeatureExtractor(max_length=128)
    with torch.inference_mode():
        values = extractor(heard, sampling_rate=16_000, return_tensors="pt").input_values
        vector: Floats = network(values).pooler_output[0].numpy()
    return vector


def cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize(
    ("backend", "precision", "least"),
    [("openvino", "f32", 0.99999), ("openvino", "bf16", 0.999), ("torch", "f32", 0.99999)],
)
def test_vectors_are_those_of_plain_transformers(
    folder: Path, network: Any, backend: Any, precision: Any, least: float
) -> None:
    run = loaded(folder, dataclasses.replace(CARD, backend=backend, precision=precision))
    lengths = (1, 399, 400, 5_000, WINDOW)
    vectors = run([noise(length) for length in lengths])
    assert vectors.shape == (len(lengths), 48)
    for length, vector in zip(lengths, vectors, strict=True):
        assert cosine(vector, expected(network, noise(length))) >= least, length
    assert run([]).shape == (0, 48)


def test_a_long_recording_is_the_mean_of_equal_windows(folder: Path, network: Any) -> None:
    recording = noise(2 * WINDOW + 1)
    third = len(recording) // 3
    windows = np.array([expected(network, recording[start : start + third]) for start in (0, third, 2 * third)])
    np.testing.assert_allclose(loaded(folder, CARD)([recording])[0], windows.mean(axis=0), atol=1e-4)


def test_the_published_files_hold_the_cards_network_name_by_name(folder: Path, network: Any) -> None:
    """The published file's names are known: transformers writes them still."""
    with torch.device("meta"):
        full = ASTModel(ASTConfig())
    assert sum(parameter.numel() for parameter in full.parameters()) == AST.parameters
    assert full.config.hidden_size == AST.dim
    assert 4 * (AST.parameters or 0) == pytest.approx(AST.weights[0].files[0].bytes, rel=0.01)  # and the classifier
    layer = "audio_spectrogram_transformer.encoder.layer.{}."
    parts = ("attention.attention.query", "attention.attention.key", "attention.attention.value",
             "attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before",
             "layernorm_after")  # fmt: skip
    published = [layer.format(number) + part for number in range(12) for part in parts]
    published = [f"{name}.{kind}" for name in published for kind in ("weight", "bias")]
    with safe_open(folder / "model.safetensors", "pt") as stored:
        assert {name for name in published if ".layer.0." in name or ".layer.1." in name} <= set(stored.keys())
    renamed = set()
    for name in published:
        for was, now in RENAMED:
            name = name.replace(was, now)
        renamed.add(name.removeprefix("audio_spectrogram_transformer."))
    names = set(full.state_dict())
    assert renamed <= names
    assert {name.partition(".")[0] for name in names - renamed} == {"embeddings", "layernorm"}


def test_what_is_not_the_cards_network_is_refused(folder: Path, network: Any, tmp_path: Path) -> None:
    with pytest.raises(WrongWeights, match="with 768 dimensions"):
        sound_events(AST, files(folder))
    kept = (folder / "model.safetensors").read_bytes()
    try:
        (folder / "model.safetensors").write_bytes(b"\0" * 64)
        with pytest.raises(WrongWeights, match=r"model\.safetensors does not hold"):
            sound_events(CARD, files(folder))
    finally:
        (folder / "model.safetensors").write_bytes(kept)
