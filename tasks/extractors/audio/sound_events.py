"""Recordings' vectors from a network that was taught to tell 527 kinds of sounds from their spectrograms."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
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
    from transformers import ASTConfig

Floats = np.ndarray[Any, np.dtype[np.float32]]

_RATE, _FRAME, _HOP, _MEAN, _STD = 16_000, 400, 160, -4.2677393, 4.5689974
_HUB = "https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593"
_REVISION = "f826b80d28226b62986cc218e5cec390b1096902"

AST = Card(
    name="audio_ast",
    version=1,
    modality="audio",
    doc="Audio Spectrogram Transformer's vector of general sounds, before its classifier of 527 kinds (AudioSet)",
    licence="BSD-3-Clause",
    source=f"{_HUB}; Gong et al. 2021, arXiv:2104.01778",
    dim=768,
    weights=(
        Weights(_HUB, _REVISION, "BSD-3-Clause", (
            File("model.safetensors", "ae0c1e2ad4e1381d851fa9bf298ba13ebc9c5a914cdee2dbe427a6583869924d",
                 f"{_HUB}/resolve/{_REVISION}/model.safetensors", 346_404_948),
            # No sha256 is published of it: the first one fetched is held to.
            File("config.json", "", f"{_HUB}/resolve/{_REVISION}/config.json", 26_763),
        )),
    ),
    input=AudioInput(_RATE),
    backend="openvino",
    precision="bf16",
    precisions=("bf16", "f32"),
    tolerance=5e-2,
    parameters=86_187_264,
    settings=(
        ("frame", _FRAME), ("hop", _HOP), ("mel", "kaldi"), ("lowest_hertz", 20), ("preemphasis", 0.97),
        ("mean", _MEAN), ("std", _STD), ("pooling", "class and distillation tokens"),
    ),
    batch_rows=8,
    notes="Hears music, rooms, animals and machines as well as voices. In no profile: 346 MB. A recording longer than "
    "10.25 s is read in equal windows of at most that, and their vectors are averaged.",
)  # fmt: skip


@register(AST)
def sound_events(card: Card, weights: Weights | None) -> Run:
    """Load an Audio Spectrogram Transformer: n recordings -> (n, dim) float32, the mean of their windows' vectors.

    The weights' files: ``config.json`` and ``model.safetensors``. Raises as ``store.locate``; WrongWeights too where
    the files do not make up the card's network.
    """
    if weights is None:
        raise ValueError(f"{card.name}: it needs weights, and its card names none")
    config, module = _module(card, locate(card.name, weights))
    net = network(
        module,
        {"spectrogram": (np.float32, (1, config.max_length, config.num_mel_bins))},
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )
    longest = _FRAME + _HOP * (config.max_length - 1)
    spectrogram = _spectrogram(config.max_length, config.num_mel_bins)

    def run(recordings: Sequence[Floats]) -> Floats:
        windows = [
            (row, window)
            for row, samples in enumerate(recordings)
            for window in np.array_split(samples, math.ceil(len(samples) / longest))
        ]
        sums, counts = np.zeros((len(recordings), card.dim or 0)), np.zeros((len(recordings), 1))
        vectors = net({"spectrogram": spectrogram(window)[None]} for _, window in windows)
        for (row, _), vector in zip(windows, vectors, strict=True):
            sums[row] += vector[0]
            counts[row] += 1
        return (sums / counts).astype(np.float32)

    return run


def _spectrogram(frames: int, bins: int) -> Callable[[Floats], Floats]:
    """(n,) samples -> (frames, bins): Kaldi's log-mel energies as the network was trained on, filled up with zeros.

    The numbers of transformers' ASTFeatureExtractor where torchaudio is not installed; with it, that class would give
    slightly others, and vectors would depend on what else is installed.
    """
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lowest of 128 bands lie between two frequencies: so they did in training
        filters = mel_filter_bank(257, bins, 20, _RATE // 2, _RATE, None, "kaldi", True)
    hann = window_function(_FRAME, "hann", periodic=False)

    def of(samples: Floats) -> Floats:
        heard = np.pad(samples, (0, max(0, _FRAME - len(samples))))
        energies = spectrogram(
            heard, hann, _FRAME, _HOP, 512, power=2.0, center=False, preemphasis=0.97, mel_filters=filters,
            log_mel="log", mel_floor=float(np.finfo(np.float32).eps), remove_dc_offset=True,
        ).T  # fmt: skip
        filled = np.zeros((frames, bins), np.float32)
        filled[: len(energies)] = energies
        return (filled - np.float32(_MEAN)) / np.float32(2 * _STD)

    return of


RENAMED = (
    ("encoder.layer.", "layers."), ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"), ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
)  # fmt: skip
"""What published files call the network's parts, and what transformers 5 does, in the order to replace them."""


def _module(card: Card, files: dict[str, Path]) -> tuple[ASTConfig, torch.nn.Module]:
    """The network's settings, and the network: (1, frames, bins) -> (1, dim)."""
    load_torchvision()  # transformers imports it for its image models
    import torch
    from safetensors.torch import load_file
    from transformers import ASTConfig, ASTModel

    config = ASTConfig.from_pretrained(files["config.json"], attn_implementation=register_attention())
    if config.model_type != ASTConfig.model_type or config.hidden_size != card.dim:
        raise WrongWeights(f"{card.name}: config.json is not of an AST with {card.dim} dimensions")
    with skip_init():
        model = ASTModel(config).requires_grad_(False).eval()
    try:
        model.load_state_dict(_named_as_today(load_file(files["model.safetensors"]), f"{model.base_model_prefix}."))
    except Exception as error:  # safetensors and torch share no narrower class
        raise WrongWeights(f"{card.name}: model.safetensors does not hold the AST of config.json ({error})") from error

    class Pooled(torch.nn.Module):
        def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
            pooled: torch.Tensor = model(spectrogram).pooler_output
            return pooled

    return config, Pooled()


def _named_as_today(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The network's tensors, its classifier left out."""
    tensors = {}
    for name, tensor in stored.items():
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            for was, now in RENAMED:
                name = name.replace(was, now)
            tensors[name] = tensor
    return tensors
