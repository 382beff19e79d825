"""The pixels themselves as features: the baseline every other way of describing a picture has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.weights import Weights

_SIDE = 32

CARD = Card(
    name="image_pixels",
    version=1,
    modality="image",
    doc=f"red, green and blue of {_SIDE} x {_SIDE} pixels, row by row, 0 to 1",
    licence="Apache-2.0",
    source="this project",
    dim=_SIDE * _SIDE * 3,
    input=ImageInput(resize=_SIDE, crop=_SIDE),
    profiles=frozenset({"embedded", "standard"}),
    notes="The middle square of the picture; a longer side's ends are not seen.",
)


@register(CARD)
def image_pixels(card: Card, weights: Weights | None) -> Run:
    def run(pictures: Sequence[np.ndarray[Any, np.dtype[np.uint8]]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array(pictures, np.float32).reshape(len(pictures), _SIDE * _SIDE * 3) / np.float32(255)

    return run
