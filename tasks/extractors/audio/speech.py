"""Recordings' vectors from networks that read sound waves. A further one is a card under ``register`` and no code."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.inference.attention import register_attention
from otzyv.tasks.inference.network import network
from otzyv.tasks.inference.skip_init import skip_init
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.models.store import WrongWeights, locate
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.float32]]

_HUB = "https://huggingface.co/facebook/wav2vec2-base"
_MAIN, _SAFETENSORS = "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8", "9f0eb264dec63c8511a7905d0a854ca6d2a39e45"
_CONFIG = File("config.json", "4937977e24d12d1bba70cdce8709c3c04807a8e4ae8ddac4229c48c436ae99ae",
               f"{_HUB}/resolve/{_MAIN}/config.json", 1_842)  # fmt: skip

WAV2VEC2 = Card(
    name="audio_wav2vec2",
    version=1,
    modality="audio",
    doc="mean over time of wav2vec 2.0 base's last hidden states",
    licence="Apache-2.0",
    source=f"{_HUB}; Baevski et al. 2020, arXiv:2006.11477",
    dim=768,
    weights=(
        Weights(_HUB, _MAIN, "Apache-2.0", (
            File("pytorch_model.bin", "3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
                 f"{_HUB}/resolve/{_MAIN}/pytorch_model.bin", 380_267_417),
            _CONFIG,
        )),
        # The same numbers in the safer format, offered to the source by the hub's converter (refs/pr/2).
        Weights(_HUB, _SAFETENSORS, "Apache-2.0", (
            File("model.safetensors", "6180a447f726e4a2ab8b50effaf0a96f5b161489c620087c3b05418f0179f875",
                 f"{_HUB}/resolve/{_SAFETENSORS}/model.safetensors"),
            _CONFIG,
        )),
    ),
    input=AudioInput(16_000),
    backend="openvino",
    precision="bf16",
    precisions=("bf16", "f32"),
    tolerance=2e-2,
    parameters=94_371_712,
    # Normalised: zero mean and unit variance over the whole recording, as the model's preprocessor_config.json asks.
    settings=(("normalised", "recording"), ("hidden_state", "last"), ("pooling", "mean"), ("window_seconds", 20)),
    batch_rows=8,
    notes="Trained on English read aloud; it hears voices and sounds of any language. In no profile: 380 MB, and the "
    "profile standard has HuBERT. A recording longer than 20 s is read in equal windows of at most that.",
)  # fmt: skip

_HUBERT_HUB = "https://huggingface.co/facebook/hubert-base-ls960"
_HUBERT_MAIN = "dba3bb02fda4248b6e082697eee756de8fe8aa8a"

HUBERT = dataclasses.replace(
    WAV2VEC2,
    name="audio_hubert",
    doc="mean over time of HuBERT base's last hidden states",
    source=f"{_HUBERT_HUB}; Hsu et al. 2021, arXiv:2106.07447",
    weights=(
        Weights(_HUBERT_HUB, _HUBERT_MAIN, "Apache-2.0", (
            File("pytorch_model.bin", "062249fffb353eab67547a2fbc129f7c31a2f459faf641b19e8fb007cc5c48ad",
                 f"{_HUBERT_HUB}/resolve/{_HUBERT_MAIN}/pytorch_model.bin", 377_569_754),
            File("config.json", "56be398848bbd9cbc720172b0d45b2f01cac7652f2968f0f31f5faf9f2986acc",
                 f"{_HUBERT_HUB}/resolve/{_HUBERT_MAIN}/config.json", 1_385),
        )),
    ),
    profiles=frozenset({"standard"}),
    notes="Trained on English read aloud; it hears voices and sounds of any language. A recording longer than 20 s is "
    "read in equal windows of at most that.",
)  # fmt: skip


@register(HUBERT)
@register(WAV2VEC2)
def speech(card: Card, weights: Weights | None) -> Run:
    """Load a wav2vec 2.0 or a HuBERT: n recordings -> (n, dim) float32, the mean of all their frames.

    Recordings are read one by one: these networks' group norm counts padding, so that in a padded batch a vector
    would depend on its neighbours. The weights' files: ``config.json``, and ``model.safetensors`` or
    ``pytorch_model.bin`` (a state dict). Raises as ``store.locate``; WrongWeights too where the files do not make up
    the card's network.
    """
    if weights is None or not isinstance(card.input, AudioInput):
        raise ValueError(f"{card.name}: a network for sound needs weights and an AudioInput, and its card lacks them")
    longest = dict(card.settings)["window_seconds"] * card.input.rate
    net = network(
        _module(card, locate(card.name, weights)),
        {"samples": (np.float32, (1, -1))},
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(recordings: Sequence[Floats]) -> Floats:
        windows = [(row, part) for row, samples in enumerate(recordings) for part in _windows(samples, longest)]
        sums, frames = np.zeros((len(recordings), card.dim or 0)), np.zeros((len(recordings), 1))
        states = net({"samples": part[None]} for _, part in windows)
        for (row, _), hidden in zip(windows, states, strict=True):
            sums[row] += hidden[0].sum(axis=0, dtype=np.float64)
            frames[row] += hidden.shape[1]
        return (sums / frames).astype(np.float32)

    return run


def _windows(samples: Floats, longest: int) -> list[Floats]:
    """A recording, normalised, in equal parts of at most ``longest`` samples: attention's cost is their square."""
    normalised = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(1e-7))
    return np.array_split(normalised, math.ceil(len(samples) / longest))


def _module(card: Card, files: Mapping[str, Path]) -> torch.nn.Module:
    """(1, n) samples -> (1, frames, dim)."""
    load_torchvision()  # transformers imports it for its image models
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(files["config.json"], attn_implementation=register_attention())
    if config.model_type not in ("wav2vec2", "hubert") or config.hidden_size != card.dim:
        raise WrongWeights(f"{card.name}: config.json is not of a wav2vec2 or hubert with {card.dim} dimensions")
    with skip_init():
        model = AutoModel.from_config(config).requires_grad_(False).eval()
    _fill(model, card.name, next(path for name, path in files.items() if name != "config.json"))
    shortest = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        shortest = (shortest - 1) * stride + kernel

    class States(torch.nn.Module):
        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            # Silence up to the samples one frame is made of. The length is a tensor, so that a traced graph keeps it.
            length = torch._shape_as_tensor(samples)[1].clamp(min=shortest)
            padded = torch.cat([samples, samples.new_zeros(1, shortest)], dim=1)[:, :length]
            states: torch.Tensor = model(padded).last_hidden_state
            return states

    return States()


def _fill(model: torch.nn.Module, name: str, path: Path) -> None:
    """Put a file's weights into the model, heads for pre-training left out."""
    import torch
    from safetensors.torch import load_file
    from torch.nn.utils import parametrize

    try:
        stored = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        prefix = f"{model.base_model_prefix}."
        encoder = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
        model.load_state_dict(encoder or stored)
    except Exception as error:  # the two formats' readers share no narrower class
        raise WrongWeights(f"{name}: {path.name} does not hold the network of config.json ({error})") from error
    for part in model.modules():
        if parametrize.is_parametrized(part):  # a weight kept as direction and length: multiplied out once and for all
            parametrize.remove_parametrizations(part, "weight")
