"""Darknet-19, and the format in which Darknet publishes weights."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_PLAN = (32, "pool", 64, "pool", 128, 64, 128, "pool", 256, 128, 256, "pool",
         512, 256, 512, 256, 512, "pool", 1024, 512, 1024, 512, 1024)  # fmt: skip
"""Filters of each convolution (cfg/darknet19.cfg): 3 x 3, or 1 x 1 where they are fewer than those before."""


def darknet19() -> torch.nn.Module:
    """Redmon, Farhadi 2016, arXiv:1612.08242, table 6. ``conv1`` to ``conv18``, and ``conv19``, its classifier."""
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = count = 0
    for step in _PLAN:
        if isinstance(step, str):
            layers[f"pool{count}"] = nn.MaxPool2d(2)
            continue
        size = 1 if step < channels else 3
        count += 1
        layers[f"conv{count}"] = nn.Sequential(
            nn.Conv2d(channels or 3, step, size, padding=size // 2, bias=False),
            nn.BatchNorm2d(step),
            nn.LeakyReLU(0.1),
        )
        channels = step
    layers["conv19"] = nn.Conv2d(channels, 1000, 1)
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flat"] = nn.Flatten()
    return nn.Sequential(layers)


def read_weights(path: Path, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A .weights file as the state dict of ``network``, whose convolutions lie in the file's order.

    Little-endian: int32 major, minor, revision; pictures seen (int64 from format 0.2 on, int32 before); then for each
    convolution float32 biases, scales, means and variances if it is normalised, and kernels (src/parser.c of Darknet).
    Raises ValueError where the file's size is not that network's.
    """
    import torch
    from torch import nn

    data = path.read_bytes()
    major, minor, _ = np.frombuffer(data[:12].ljust(12, b"\0"), "<i4")
    numbers = np.frombuffer(data[20 if major * 10 + minor >= 2 else 16 :], "<f4") if len(data) % 4 == 0 else np.empty(0)
    state, start = dict[str, torch.Tensor](), 0
    layers = list(network.named_modules())
    for (name, layer), (after, norm) in zip(layers, [*layers[1:], ("", None)], strict=True):
        if not isinstance(layer, nn.Conv2d):
            continue
        normalised = isinstance(norm, nn.BatchNorm2d)
        parts = ("bias", "weight", "running_mean", "running_var") if normalised else ("bias",)
        keys = [f"{after if normalised else name}.{part}" for part in parts]
        shapes = [(layer.out_channels,)] * len(keys)
        for key, shape in zip([*keys, f"{name}.weight"], [*shapes, tuple(layer.weight.shape)], strict=True):
            end = start + int(np.prod(shape))
            if end > len(numbers):
                raise ValueError(f"{len(data)} bytes end before {key}")
            state[key] = torch.from_numpy(numbers[start:end].reshape(shape).copy())
            start = end
    if start != len(numbers):
        raise ValueError(f"{len(data)} bytes are {len(numbers) - start} numbers more than the network has")
    return state
