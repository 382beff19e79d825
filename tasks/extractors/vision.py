"""Image embeddings from torchvision's networks. A further network is a row of ``CARDS`` and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.extractors.card import Card, File, ImageInput, Run, Weights
from tasks.extractors.network import network
from tasks.extractors.registry import register
from tasks.extractors.store import WrongWeights, locate
from tasks.extractors.torchvision_shim import load_torchvision

if TYPE_CHECKING:
    import torch

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_BATCH = 8
"""Pictures computed at once: more no longer fit the cache."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, 0 to 1; all of torchvision's classification weights were trained with them."""


def _torchvision(file: str) -> Weights:
    """Weights as torchvision publishes them: the file's name ends with the first eight digits of its sha256."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(
        source=url,
        revision="IMAGENET1K_V1",
        licence="BSD-3-Clause",
        files=(File(file, Path(file).stem.rpartition("-")[2], url),),
    )


def _card(name: str, builder: str, head: str, *weights: Weights, **fields: Any) -> Card:
    """``builder``: the network in torchvision.models; ``head``: its part that is left out, the classifier."""
    return Card(
        name=name,
        version=1,
        modality="image",
        licence="BSD-3-Clause",
        weights=weights,
        input=ImageInput(resize=256, crop=224),
        backend="openvino",
        precision="bf16",
        precisions=("bf16", "f32"),
        settings=(("builder", builder), ("head", head), ("mean", _MEAN), ("std", _STD)),
        batch_rows=64,
        **fields,
    )


# Of torchvision's two sets of weights the first: the second's recipe (label smoothing, mixing of images and labels,
# long training) makes better classifiers and features that transfer worse (Kornblith et al. 2021, arXiv:2010.16402).
# They are also made for one input, 256 and 224, as most of torchvision's are.
CARDS = (
    _card(
        "image_mobilenetv2", "mobilenet_v2", "classifier",
        _torchvision("mobilenet_v2-b0353104.pth"),
        Weights(
            source="https://github.com/google-coral/test_data, tf2_mobilenet_v2_1.0_224_ptq.tflite",
            revision="ported to torchvision's names, half precision",
            licence="Apache-2.0",
            files=(
                File("mobilenet_v2_imagenet_ported_fp16.pth",
                     "91f9f516144538076e8044a26815eb90e6c1f1cd79197e47f72711e89a125ed5", bytes=7_180_107),
            ),
        ),
        doc="MobileNetV2's features before its classifier, ImageNet weights",
        source="torchvision; Sandler et al. 2018, arXiv:1801.04381",
        dim=1280, parameters=2_223_872, tolerance=5e-2, profiles=frozenset[str](),
        notes="Half of MobileNetV2's values are near 0: compare by cosine after subtracting the mean.",
    ),
    _card(
        "image_resnet50", "resnet50", "fc",
        _torchvision("resnet50-0676ba61.pth"),
        doc="ResNet-50's features before its classifier, ImageNet weights",
        source="torchvision; He et al. 2015, arXiv:1512.03385",
        dim=2048, parameters=23_508_032, tolerance=5e-2, profiles=frozenset({"standard"}),
    ),
)  # fmt: skip


def vision(card: Card, weights: Weights | None) -> Run:
    """Load a network: n pictures, uint8 (crop, crop, 3), -> (n, dim) float32, the input of the network's classifier.

    Raises as ``store.locate``; WrongWeights too where the file does not hold the card's network.
    """
    if weights is None:
        raise ValueError(f"{card.name}: a network needs weights, and its card names none")
    assert isinstance(card.input, ImageInput)
    side = card.input.crop
    assert side is not None
    net = network(
        _module(card, weights),
        {"pixels": (np.uint8, (-1, side, side, 3))},
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(pictures: Sequence[Pixels]) -> np.ndarray[Any, np.dtype[np.float32]]:
        groups = (np.stack(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH))
        rows = [*net({"pixels": group} for group in groups)]
        return np.concatenate([np.empty((0, card.dim or 0), np.float32), *rows])

    return run


for _each in CARDS:
    register(_each)(vision)


def _module(card: Card, weights: Weights) -> torch.nn.Module:
    torchvision = load_torchvision()
    import torch

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of torch.jit, which it imports
        from torch.fx.experimental.optimization import fuse

    settings = dict(card.settings)
    model = torchvision.models.get_model(settings["builder"], weights=None)
    (path,) = locate(card.name, weights).values()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(stored)  # into float32, from whatever the file holds
    except Exception as error:  # what unpickles nothing but tensors still fails in many ways
        raise WrongWeights(
            f"{card.name}: {path.name} does not hold torchvision's {settings['builder']} ({error})"
        ) from error
    model.set_submodule(settings["head"], torch.nn.Identity())
    model = fuse(model.eval())
    if card.precision == "bf16":
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1:
                layer.weight.data = _rounded(layer.weight.data)

    class Normalised(torch.nn.Module):
        """(n, height, width, 3) as decoded -> (n, dim)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            normalised = (pixels.float() / 255 - torch.tensor(settings["mean"])) / torch.tensor(settings["std"])
            features: torch.Tensor = self.model(normalised.permute(0, 3, 1, 2))
            return features

    return Normalised()


def _rounded(kernels: torch.Tensor) -> torch.Tensor:
    """Each kernel in numbers that bf16 can hold, its sum kept.

    Some of MobileNetV2's first kernels are edge filters of large weights that nearly cancel out. Rounded each for
    itself, they no longer do, and what is left over is multiplied by the brightness: that alone takes embeddings to a
    cosine of 0.96 (0.9997 with the sum kept). So the error of each weight is carried into the next smaller one.
    """
    import torch

    flat = kernels.flatten(1)
    order = flat.abs().argsort(dim=1, descending=True)
    rounded, carry = torch.empty_like(flat), torch.zeros(len(flat), 1)
    for column in order.unbind(dim=1):
        place = column[:, None]
        wanted = flat.gather(1, place) + carry
        nearest = wanted.bfloat16().float()
        rounded.scatter_(1, place, nearest)
        carry = wanted - nearest
    return rounded.view_as(kernels)
