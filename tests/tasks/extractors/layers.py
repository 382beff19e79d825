"""The inner layers of the networks for images, found by running each without numbers.

``python -m tests.tasks.extractors.layers`` writes tasks/extractors/image/vision_layers.json anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.image import vision_cards
from otzyv.tasks.extractors.image.vision import build
from otzyv.tasks.media.inputs import ImageInput

FILE = Path(vision_cards.__file__).with_name("vision_layers.json")


def shapes(card: Card) -> tuple[torch.nn.Module, dict[str, tuple[int, ...]]]:
    """The network, and the shape of what leaves each of its modules before the classifier; of its input under ""."""
    assert isinstance(card.input, ImageInput)
    assert card.input.crop is not None
    head = dict(card.settings)["head"]
    found: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        module = build(card)

        def note(name: str, value: torch.Tensor) -> None:
            if head not in found:
                found[name] = tuple(value.shape)

        module.get_submodule(head).register_forward_pre_hook(lambda _, inputs: note(head, inputs[0]))
        for name, part in module.named_modules():
            if name:
                part.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
        module(torch.zeros(1, 3, card.input.crop, card.input.crop))
    found[""] = found.pop(head)
    return module, found


def tree(card: Card) -> dict[str, Any]:
    """Names within names: a layer is its dimension, or [dimension, layers within it], or only what is within it."""
    module, found = shapes(card)

    def within(part: torch.nn.Module, prefix: str) -> dict[str, Any]:
        layers: dict[str, Any] = {}
        for name, child in part.named_children():
            inner, dim = within(child, f"{prefix}{name}."), found.get(f"{prefix}{name}", (0, 0))[1]
            if inner or dim:
                layers[name] = ([dim, inner] if inner else dim) if dim else inner
        return layers

    return within(module, "")


if __name__ == "__main__":
    cards = (*vision_cards.CARDS, *vision_cards.FROM_PACKAGES)
    lines = (f'"{card.name}": {json.dumps(tree(card), separators=(",", ":"))}' for card in cards)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
