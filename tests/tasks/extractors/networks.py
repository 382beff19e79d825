"""Networks for images with fixed random weights, in the files in which their real weights are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.extractors.card import Card, File, ImageInput, Weights
from tasks.extractors.vision import build

Floats = np.ndarray[Any, np.dtype[np.float32]]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def random_state(module: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights that keep the size of what passes, and normalisations that change something. The same on any machine."""
    random = np.random.default_rng(seed)
    state = {}
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 0:
            state[name] = torch.tensor(0)
            continue
        values: Floats = random.random(tensor.numel(), dtype=np.float32).reshape(tensor.shape)
        if name.endswith(("bias", "running_mean")):
            values = (values - np.float32(0.5)) * np.float32(0.2)
        elif tensor.ndim > 1:
            values = (values - np.float32(0.5)) * np.float32((24 / tensor[0].numel()) ** 0.5)
        else:
            values = values + np.float32(0.5)
        state[name] = torch.from_numpy(values)
    return state


def filled_at_random(card: Card) -> torch.nn.Module:
    """The card's network as its library builds it."""
    module = build(card)
    module.load_state_dict(random_state(module))
    return module


def published(card: Card, module: torch.nn.Module, folder: Path) -> Weights:
    """The network's file in the store (``folder``), under the name and in the format of its publisher."""
    (folder / card.name).mkdir(parents=True, exist_ok=True)
    name = card.weights[0].files[0].name
    if name.endswith(".weights"):
        (folder / card.name / name).write_bytes(darknet_file(module))
    else:
        torch.save(module.state_dict(), folder / card.name / name)
    return Weights("made here", "1", "none", (File(name, ""),))


def darknet_file(module: torch.nn.Module) -> bytes:
    """Header (version 0.2, pictures seen), then of each convolution biases, its normalisation, kernels."""
    state = module.state_dict()
    parts = [np.array([0, 2, 0], "<i4"), np.array([32_013_312], "<i8")]
    normalised = ("1.bias", "1.weight", "1.running_mean", "1.running_var", "0.weight")
    names = [f"conv{count}.{name}" for count in range(1, 19) for name in normalised]
    parts += [state[name].numpy().astype("<f4") for name in (*names, "conv19.bias", "conv19.weight")]
    return b"".join(part.tobytes() for part in parts)


def picture(side: int, seed: int = 0) -> Pixels:
    """Smooth waves of colour with noise."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side, :1][:2] * (12 / side)
    waves = 128 + 100 * np.sin(down * (1 + seed) + right * np.array([1.0, 2.0, 3.0]))
    noisy: Pixels = (waves + random.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)
    return noisy


def expected(card: Card, module: torch.nn.Module, pictures: list[Pixels], normalise: Callable[[Any], Any]) -> Floats:
    """What the library's own network has before its classifier, averaged over the picture."""
    assert isinstance(card.input, ImageInput)
    seen: list[torch.Tensor] = []
    layer = module.get_submodule(dict(card.settings)["head"])
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        module(normalise(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255))
    handle.remove()
    values: Floats = (seen[-1].mean(dim=(2, 3)) if seen[-1].ndim == 4 else seen[-1]).numpy()
    return values
