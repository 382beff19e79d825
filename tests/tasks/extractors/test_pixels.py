"""The baseline: a picture's own pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from otzyv.tasks.extractors.image.pixels import CARD, image_pixels
from otzyv.tasks.media.decode import decode

GOLDEN = [0.011765, 0.129412, 0.003922, 0.011765, 0.152941, 27.3254]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def features(data: bytes) -> np.ndarray:
    assert CARD.input is not None
    (row,) = np.asarray(image_pixels(CARD, None)([decode(CARD.input, data)]))
    return np.asarray(row)


def test_every_value_is_a_colour_at_its_place() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    np.testing.assert_allclose(features(png(picture)).reshape(32, 32, 3), picture / 255, atol=1e-7)


def test_golden_values_of_a_picture_made_smaller() -> None:
    down, right = np.mgrid[:192, :256]
    vector = features(png(np.stack([down, right, down * right // 64 % 256], axis=2)))
    assert [*vector[:5], np.linalg.norm(vector)] == pytest.approx(GOLDEN, abs=1e-4)
    assert vector.min() >= 0
    assert vector.max() <= 1


def test_none_are_none() -> None:
    assert np.asarray(image_pixels(CARD, None)([])).shape == (0, 3_072)
