"""Hand-made image features: each part says what its name says, of a picture of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.extractors.image.layout import CARD, COMPOSITION, LAYOUT, describe, image_layout
from otzyv.tasks.media.decode import decode
from otzyv.tasks.media.inputs import ImageInput

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

assert isinstance(CARD.input, ImageInput)
SPEC = CARD.input
SHARED = Path(__file__).parents[4] / "shared" / "data" / "images"
GOLDEN = [0.204105, 0.124827, 0.050260, 0.039832, 0.089096]
NORM = 4.03771


def part(pixels: Pixels, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return describe(pixels)[LAYOUT[name]]


def named(pixels: Pixels, name: str) -> float:
    return float(part(pixels, "composition")[COMPOSITION.index(name)])


def photograph(seed: int, width: int = 341, height: int = 256) -> Pixels:
    return decode(SPEC, image("JPEG", seed=seed, width=width, height=height))


def screenshot(seed: int, width: int = 341, height: int = 256) -> Pixels:
    """Lines of text on white, under a coloured bar."""
    random = np.random.default_rng(seed)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, width, 24), fill=tuple(random.integers(0, 256, 3).tolist()))
    for line in range(2, height // 14):
        draw.text((8, line * 14), "".join(random.choice(list("abcdefgh   "), random.integers(20, 50))), fill="black")
    return np.asarray(page)


def noise(seed: int, shape: tuple[int, int], low: int = 0, high: int = 256) -> Pixels:
    return np.random.default_rng(seed).integers(low, high, (*shape, 3), dtype=np.uint8)


def test_the_parts_fill_the_vector_without_gaps() -> None:
    places = np.concatenate([np.arange(253)[place] for place in LAYOUT.values()])
    assert np.array_equal(places, np.arange(CARD.dim or 0))


def test_golden_values() -> None:
    y, x = np.mgrid[:192, :256]
    generated = np.stack([x, y, (x * y) // 64 % 256], axis=2).astype(np.uint8)
    run = image_layout(CARD, None)
    vector = run([generated, generated[::-1]])
    assert isinstance(vector, np.ndarray)
    assert vector.shape == (2, 253)
    assert vector[0, :5] == pytest.approx(GOLDEN, abs=1e-5)
    assert np.linalg.norm(vector[0]) == pytest.approx(NORM, abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.sampled_from([1, 2, 256]))
def test_a_picture_of_any_size_has_finite_values_and_whole_shares(
    height: int, width: int, seed: int, high: int
) -> None:
    vector = describe(noise(seed, (height, width), 0, high))
    assert np.isfinite(vector).all()
    for name in ("saturation", "value"):
        assert vector[LAYOUT[name]].sum() == pytest.approx(1, abs=1e-5)
    for name in ("hue", "saliency"):
        assert vector[LAYOUT[name]].sum() == pytest.approx(1, abs=1e-5) or not vector[LAYOUT[name]].any()
    assert vector[LAYOUT["local_patterns"]].reshape(2, 10).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_text_on_a_screen_lies_apart_from_photographs() -> None:
    kinds = [np.array([describe(make(seed)) for seed in range(6)]) for make in (photograph, screenshot)]
    for own, other in (kinds, kinds[::-1]):
        for left_out in range(6):
            rest = np.delete(own, left_out, axis=0).mean(axis=0)
            assert np.linalg.norm(own[left_out] - rest) < np.linalg.norm(own[left_out] - other.mean(axis=0))
    for name in ("ink", "flat", "white"):
        assert (
            min(named(screenshot(s), name) for s in range(3)) > max(named(photograph(s), name) for s in range(3)) + 0.02
        )
    assert named(screenshot(0), "colours") < named(photograph(0), "colours")


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turning_a_picture_turns_its_gradients(quarters: int) -> None:
    pixels = photograph(3, 256, 192)
    cells = part(pixels, "gradients").reshape(4, 4, 8)
    turned = np.roll(np.rot90(cells, quarters), 4 * quarters, axis=2)
    found = part(np.ascontiguousarray(np.rot90(pixels, quarters)), "gradients").reshape(4, 4, 8)
    assert found == pytest.approx(turned, abs=1e-5)
    assert np.abs(found - cells).max() > 0.01


@pytest.mark.parametrize(("slant", "orientation"), [(0, 0), (1, 2), (-1, 6)])
def test_the_first_orientation_is_a_vertical_edge(slant: int, orientation: int) -> None:
    y, x = np.mgrid[:64, :64]
    edge = np.where(x + slant * y > 31 + slant * 32, 255, 0).astype(np.uint8)
    assert part(np.stack([edge] * 3, axis=2), "gradients").reshape(16, 8).sum(axis=0).argmax() == orientation


def test_brightness_and_contrast_leave_gradients_hue_and_patterns() -> None:
    dark = photograph(5) // 4
    for name in ("gradients", "hue"):
        assert part(dark * np.uint8(3), name) == pytest.approx(part(dark, name), abs=2e-3)
    grey = np.repeat(dark[:, :, :1], 3, axis=2)
    for name in ("gradients", "local_patterns"):
        assert part(grey * np.uint8(2) + np.uint8(90), name) == pytest.approx(part(grey, name), abs=2e-3)
    assert np.abs(part(dark * np.uint8(3), "value") - part(dark, "value")).max() > 0.2


def test_colours_are_where_they_are() -> None:
    pixels = np.full((60, 60, 3), 255, np.uint8)
    pixels[:20, 40:] = (255, 0, 0)
    assert part(pixels, "hue").argmax() == 0
    assert part(pixels, "saliency").argmax() == 2
    grid = part(pixels, "colour_grid").reshape(4, 4, 3)
    assert grid[..., 1].argmax() == 3
    assert grid[3, 0] == pytest.approx([1, 0, 0], abs=1e-3)
    plain = np.full((9, 9, 3), (200, 77, 90), np.uint8)
    assert part(plain, "hue")[0] == pytest.approx(1)  # red has its middle in red
    assert not part(plain, "saliency").any()
    assert not part(np.full((9, 9, 3), 77, np.uint8), "hue").any()


def test_composition_names_what_it_measures() -> None:
    pixels = photograph(1, 320, 160)
    blurred = np.asarray(Image.fromarray(pixels).resize((40, 20)).resize((320, 160)))
    grey = np.repeat(pixels[:, :, :1], 3, axis=2)
    assert named(pixels, "aspect") == pytest.approx(1)
    assert named(pixels, "sharpness") > 2 * named(blurred, "sharpness")
    assert named(pixels, "colourfulness") > 0.2 > named(grey, "colourfulness") == 0
    assert named(np.concatenate([pixels, pixels[:, ::-1]], axis=1), "mirrored") == pytest.approx(1)
    assert named(np.concatenate([pixels, pixels[::-1]]), "upside_down") == pytest.approx(1)
    assert named(np.concatenate([pixels, pixels], axis=1), "mirrored") < 0.9
    assert named(np.full((50, 50, 3), 255, np.uint8), "white") == 1 == named(np.zeros((50, 50, 3), np.uint8), "black")
    assert named(pixels // 2, "brightness") == pytest.approx(named(pixels, "brightness") / 2, abs=0.01)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/images")
def test_real_pages_have_ink_and_real_photographs_have_colours() -> None:
    pages = [decode(SPEC, (SHARED / "skimage" / name).read_bytes()) for name in ("page.png", "text.png")]
    photographs = [decode(SPEC, path.read_bytes()) for path in (SHARED / "coral").glob("*.jpg")]
    assert max(named(page, "colours") for page in pages) < min(named(photo, "colours") for photo in photographs)
    assert len(photographs) > 4
