"""Image embeddings from the networks of ``vision_cards``: the layer before the classifier, or any inner layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.image.vision_cards import CARDS, FROM_PACKAGES
from otzyv.tasks.inference.network import network
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.store import WrongWeights, locate
from otzyv.tasks.models.weights import Weights

if TYPE_CHECKING:
    import torch

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_BATCH = 4
"""Pictures computed at once, never more or fewer: a graph for a fixed number takes up to a third less time. More do not
fit the cache, and with fewer the largest networks read their weights too often."""
_DOTTED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])")
_TRAINING_ONLY = ("aux1.", "aux2.", "AuxLogits.")
"""Second classifiers of googlenet and inception_v3: in their files, of no use once they are trained."""


def vision(card: Card, weights: Weights | None) -> Run:
    """Load a network: n pictures, uint8 (crop, crop, 3), -> (n, dim) float32, averaged over the picture.

    What is taken is the input of the classifier, or the output of the layer named in the card's settings. Raises as
    ``store.locate``; WrongWeights too where the file does not hold the card's network.
    """
    if weights is None:
        raise ValueError(f"{card.name}: a network needs weights, and its card names none")
    assert isinstance(card.input, ImageInput)
    side = card.input.crop
    assert side is not None
    (path,) = locate(card.name, weights).values()
    net = network(
        _embedding(card, filled(card, path)),
        {"pixels": (np.uint8, (_BATCH, side, side, 3))},
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(pictures: Sequence[Pixels]) -> np.ndarray[Any, np.dtype[np.float32]]:
        whole = [*pictures, *[*pictures[:1]] * (-len(pictures) % _BATCH)]
        groups = (np.stack(whole[start : start + _BATCH]) for start in range(0, len(whole), _BATCH))
        rows = [*net({"pixels": group} for group in groups)]
        return np.concatenate([np.empty((0, card.dim or 0), np.float32), *rows])[: len(pictures)]

    return run


for _each in (*CARDS, *FROM_PACKAGES):
    register(_each)(vision)


def build(card: Card) -> torch.nn.Module:
    """The card's network as it was published, classifier included, with torch's own random weights."""
    torchvision = load_torchvision()
    settings = dict(card.settings)
    library, _, name = settings["network"].partition(":")
    options = dict(settings.get("options", ()))
    module: torch.nn.Module
    match library:
        case "torchvision":
            module = torchvision.models.get_model(name, weights=None, **options)
        case "timm":
            import timm

            module = timm.create_model(name, pretrained=False, **options)
        case _:
            from otzyv.tasks.inference.darknet import darknet19
            from otzyv.tasks.inference.nasnet_mobile import nasnet_mobile

            module = {"darknet19": darknet19, "nasnet_mobile": nasnet_mobile}[name]()
    return module.eval().requires_grad_(False)


def filled(card: Card, path: Path) -> torch.nn.Module:
    """The card's network with the weights of a published file, its classifier left out.

    Raises WrongWeights where the file holds another network, or cannot be read.
    """
    import torch

    settings = dict(card.settings)
    head = settings["head"]
    with torch.device("meta"):  # no memory and no time for weights that are overwritten
        module = build(card)
    try:
        stored = _stored(path, module)
        if settings.get("in_order"):
            stored = dict(zip(module.state_dict(), stored.values(), strict=True))
        kept = {name: tensor for name, tensor in stored.items() if not name.startswith((f"{head}.", *_TRAINING_ONLY))}
        module.set_submodule(head, torch.nn.Identity())
        # Files from before torch counted batches lack the counts, which nothing reads.
        missing, unexpected = module.load_state_dict(kept, strict=False, assign=True)
        if unexpected or missing:
            raise ValueError(f"it lacks {missing[:3]} and has {unexpected[:3]} besides")
    except Exception as error:  # what unpickles nothing but tensors still fails in many ways
        raise WrongWeights(f"{card.name}: {path.name} does not hold {settings['network']} ({error})") from error
    return module.float()  # from whatever the file holds


def _stored(path: Path, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    import torch

    if path.suffix == ".weights":
        from otzyv.tasks.inference.darknet import read_weights

        return read_weights(path, module)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    stored: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    # DenseNet's files are from when a module's name could hold a dot: norm.1 is today's norm1.
    return {_DOTTED.sub(r"\1\2", name): tensor for name, tensor in stored.items()}


def _embedding(card: Card, module: torch.nn.Module) -> torch.nn.Module:
    """(n, height, width, 3) as decoded -> (n, dim): normalises, runs the network, and takes its embedding out."""
    import torch

    settings = dict(card.settings)
    layer: str | None = settings.get("layer")
    taken: list[torch.Tensor] = []

    def take(value: torch.Tensor) -> None:
        # At once: the next layer may change it in place. The last counts where a layer is passed more than once.
        taken[:] = [value.mean(dim=(2, 3)) if value.ndim == 4 else value.clone()]

    if layer is None:
        module.get_submodule(settings["head"]).register_forward_pre_hook(lambda _, inputs: take(inputs[0]))
    else:
        module.get_submodule(layer).register_forward_hook(lambda _, inputs, output: take(output))

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            normalised = (pixels.float() / 255 - torch.tensor(settings["mean"])) / torch.tensor(settings["std"])
            self.module(normalised.permute(0, 3, 1, 2))
            return taken.pop()

    return Embedding()
