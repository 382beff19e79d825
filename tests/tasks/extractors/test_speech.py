"""A recording's vector is that of plain transformers in float32, whatever its length and whatever else is in the batch.

wav2vec 2.0's own weights can't be shipped: what is tested are small networks with fixed random weights, and the
published layout, name by name in full size, with fixed random weights.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.audio.speech import HUBERT, WAV2VEC2, speech
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import MissingWeights, WrongWeights
from otzyv.tasks.models.weights import File, Weights
from tests.tasks.extractors.networks import files_in, random_weights, save_speech

load_torchvision()
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model  # noqa: E402
from transformers import Wav2Vec2FeatureExtractor as Preprocessor  # noqa: E402

Floats = np.ndarray[Any, np.dtype[np.float32]]
Speech = Callable[[list[Floats]], Floats]

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "conv_dim": (24,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
CARD = dataclasses.replace(WAV2VEC2, dim=64)
LENGTHS = (2, 399, 400, 719, 720, 5_000, 16_000, 16_001, 50_000)
"""Less than a frame, a frame, two, fifteen, and what OpenVINO's attention without a mask gets wrong."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("models")
        patch.setenv("OTZYV_MODELS", str(root))
        (root / CARD.name).mkdir()
        yield root / CARD.name


def noise(length: int, seed: int = 0) -> Floats:
    samples = 0.1 * np.random.default_rng((seed, length)).standard_normal(length)
    return np.asarray(samples.clip(-1, 1), np.float32)


def stored(folder: Path, network: Any, file: str = "model.safetensors") -> Weights:
    """The network's files in the store."""
    folder.mkdir(exist_ok=True)
    save_speech(folder, network.config, network.state_dict(), file)
    return files_in(folder, file, "config.json")


def expected(network: Any, samples: Floats) -> Floats:
    """What transformers' own preprocessing and network give."""
    values = Preprocessor(do_normalize=True)(samples, sampling_rate=16_000, return_tensors="pt").input_values
    values = torch.nn.functional.pad(values, (0, max(0, 400 - len(samples))))
    with torch.inference_mode():
        states: Floats = network(values).last_hidden_state.mean(dim=1)[0].numpy()
    return states


def cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def loaded(card: Card, files: Weights) -> Speech:
    run = speech(card, files)
    return lambda recordings: np.asarray(run(recordings))


@pytest.fixture(scope="module", params=["wav2vec2", "hubert"])
def network(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    if request.param == "hubert":
        return HubertModel(HubertConfig(**SMALL)).eval()
    return Wav2Vec2Model(Wav2Vec2Config(**SMALL)).eval()


@pytest.fixture(scope="module")
def small(store: Path) -> tuple[Speech, Any, Weights]:
    """A small wav2vec2 at float32."""
    torch.manual_seed(1)
    network = Wav2Vec2Model(Wav2Vec2Config(**SMALL)).eval()
    files = stored(store, network)
    return loaded(dataclasses.replace(CARD, precision="f32"), files), network, files


@pytest.mark.parametrize(
    ("backend", "precision", "least"),
    [("openvino", "f32", 0.99999), ("openvino", "bf16", 0.999), ("torch", "f32", 0.99999)],
)
def test_vectors_are_those_of_plain_transformers_at_any_length(
    store: Path, network: Any, backend: Any, precision: Any, least: float
) -> None:
    run = loaded(dataclasses.replace(CARD, backend=backend, precision=precision), stored(store, network))
    vectors = run([noise(length) for length in LENGTHS])
    assert vectors.shape == (len(LENGTHS), 64)
    assert vectors.dtype == np.float32
    for length, vector in zip(LENGTHS, vectors, strict=True):
        assert cosine(vector, expected(network, noise(length))) >= least, length


@settings(max_examples=10, deadline=None)
@given(st.permutations([500, 1_000, 5_000, 5_000, 9_000]), st.integers(0, 99))
def test_a_vector_does_not_depend_on_its_neighbours(
    small: tuple[Speech, Any, Weights], lengths: list[int], seed: int
) -> None:
    run, _, _ = small
    recordings = [noise(length, seed + place) for place, length in enumerate(lengths)]
    alone = np.concatenate([run([recording]) for recording in recordings])
    np.testing.assert_array_equal(run(recordings), alone)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 3), st.floats(-0.5, 0.5))
def test_neither_loudness_nor_an_offset_matters(small: tuple[Speech, Any, Weights], gain: float, offset: float) -> None:
    plain, changed = small[0]([noise(4_000), noise(4_000) * np.float32(gain) + np.float32(offset)])
    assert cosine(plain, changed) > 0.999


def test_a_long_recording_is_the_mean_over_the_frames_of_equal_windows(
    small: tuple[Speech, Any, Weights],
) -> None:
    _, network, files = small
    in_settings = tuple((name, 1 if name == "window_seconds" else value) for name, value in CARD.settings)
    recording = noise(40_001)  # in three windows of 13,334, 13,334 and 13,333 samples
    vector = loaded(dataclasses.replace(CARD, precision="f32", settings=in_settings), files)([recording])[0]
    normalised = (recording - recording.mean()) / recording.std()
    windows = (normalised[:13_334], normalised[13_334:26_668], normalised[26_668:])
    with torch.inference_mode():
        frames = np.concatenate([network(torch.from_numpy(w[None])).last_hidden_state[0].numpy() for w in windows])
    np.testing.assert_allclose(vector, frames.mean(axis=0), atol=1e-4)
    assert cosine(vector, expected(network, recording)) < 0.99999999  # so it matters, and the card says so


def test_silence_has_a_finite_vector(small: tuple[Speech, Any, Weights]) -> None:
    assert np.isfinite(small[0]([np.zeros(n, np.float32) for n in (1, 16_000)])).all()
    assert small[0]([]).shape == (0, 64)


def test_the_published_network_loads_name_by_name(store: Path) -> None:
    random_weights(WAV2VEC2)
    encoder = Wav2Vec2Model.from_pretrained(store, use_safetensors=False).eval()
    assert sum(p.numel() for p in encoder.parameters()) == WAV2VEC2.parameters
    # What the published config.json holds beside today's settings.
    config = json.loads((store / "config.json").read_text())
    config |= {"architectures": ["Wav2Vec2ForPreTraining"], "freeze_feat_extract_train": True}
    config |= {"mask_channel_length": 10, "no_mask_time_overlap": False, "transformers_version": "4.7.0.dev0"}
    (store / "config.json").write_text(json.dumps(config))
    run = loaded(
        dataclasses.replace(WAV2VEC2, backend="torch", precision="f32"),
        files_in(store, "pytorch_model.bin", "config.json"),
    )
    (store / "pytorch_model.bin").unlink()
    vector = run([noise(1_600)])[0]
    assert vector.shape == (WAV2VEC2.dim,)
    assert cosine(vector, expected(encoder, noise(1_600))) > 0.99999


def test_huberts_card_is_of_the_published_network() -> None:
    with torch.device("meta"):
        full = HubertModel(HubertConfig())
    assert full.config.hidden_size == HUBERT.dim
    assert sum(parameter.numel() for parameter in full.parameters()) == HUBERT.parameters
    assert HUBERT.weights[0].files[0].bytes == pytest.approx(4 * (HUBERT.parameters or 0), abs=100_000)
    # The published file names one weight of the positional convolution by direction and length, as torch did then.
    old = {"weight_g", "weight_v"}
    tensors = {name: torch.empty_like(tensor) for name, tensor in full.state_dict().items()}
    conv = "encoder.pos_conv_embed.conv"
    for name, was in zip(("original0", "original1"), sorted(old), strict=True):
        tensors[f"{conv}.{was}"] = tensors.pop(f"{conv}.parametrizations.weight.{name}")
    assert {name.rpartition(".")[2] for name in tensors if name.startswith(conv)} == {"bias", *old}
    full.load_state_dict(tensors, assign=True)


def test_what_is_not_the_cards_network_is_refused_and_pickle_unread(store: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return (tmp_path / "ran").write_text, ("unpickled",)

    good = Wav2Vec2Model(Wav2Vec2Config(**SMALL))
    files = stored(store, good)
    torch.save(Bomb(), store / "pytorch_model.bin")
    with pytest.raises(WrongWeights, match=r"pytorch_model\.bin does not hold the network"):
        speech(CARD, files_in(store, "pytorch_model.bin", "config.json"))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WrongWeights, match="with 768 dimensions"):
        speech(WAV2VEC2, files)
    stored(store, Wav2Vec2Model(Wav2Vec2Config(**{**SMALL, "num_hidden_layers": 1})))
    good.config.save_pretrained(store)
    with pytest.raises(WrongWeights, match=r"model\.safetensors does not hold"):
        speech(CARD, files_in(store, "model.safetensors", "config.json"))
    with pytest.raises(MissingWeights, match=r"audio_wav2vec2: no file missing\.bin"):
        speech(CARD, Weights("made here", "1", "none", (File("missing.bin", "0" * 64),)))
