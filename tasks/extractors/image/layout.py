"""What a picture looks like, by hand-made features: colour, gradients, texture and composition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.weights import Weights

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as the features read it. Colours are taken of every second pixel in both directions."""

    rgb: Pixels
    grey: Floats
    """(height, width), 0 to 1: luminance."""
    hsv: Floats
    lab: Floats
    slope: Floats
    """(height, width): size of Sobel's gradient of ``grey``; an edge from black to white has 1."""
    direction: Floats
    """(height, width): where the gradient points, -pi to pi, 0 to the right and pi/2 downwards."""


def hue(picture: Picture) -> Floats:
    """12 bins from red over green and blue, each pixel counted by its chroma. Sum 1, or 0 where there is no colour."""
    tint, saturation, value = picture.hsv.reshape(-1, 3).T
    # Centred on red, so that its two sides are one bin.
    bins = np.floor(tint * 12 + 0.5).astype(int) % 12
    return _shares(np.bincount(bins, saturation * value, 12))


def saturation(picture: Picture) -> Floats:
    """6 bins, sum 1."""
    return _shares(np.histogram(picture.hsv[..., 1], 6, (0, 1))[0])


def value(picture: Picture) -> Floats:
    """8 bins of HSV's value, dark to light, sum 1."""
    return _shares(np.histogram(picture.hsv[..., 2], 8, (0, 1))[0])


def colour_grid(picture: Picture) -> Floats:
    """Mean L*, a*, b* over 100 in each of 4 x 4 cells, row by row."""
    from skimage.transform import resize_local_mean

    cells = resize_local_mean(picture.lab, (4, 4), channel_axis=2, preserve_range=True)
    return np.asarray(cells / 100, np.float32).ravel()


def gradients(picture: Picture) -> Floats:
    """8 orientations (0 a vertical edge, then turning clockwise by 22.5 degrees) in each of 4 x 4 cells, row by row.

    A histogram of oriented gradients (Dalal, Triggs 2005), the 128 values scaled to Euclidean length 1: the same for
    any brightness and contrast.
    """
    height, width = picture.grey.shape
    turn = picture.direction * (8 / np.pi) + 8  # an edge has no sides: 0 to 8 and 8 to 16 are the same
    lower = turn.astype(np.intp)
    share = turn - lower  # between two orientations: no jump where one passes into the next
    cells = (np.arange(height) * 4 // height * 32)[:, None] + np.arange(width) * 4 // width * 8
    first, second = (cells + (lower & 7)).ravel(), (cells + (lower + 1 & 7)).ravel()
    size, share = picture.slope.ravel(), share.ravel()
    histogram = np.bincount(first, size * (1 - share), 128) + np.bincount(second, size * share, 128)
    return histogram / max(float(np.linalg.norm(histogram)), 1e-9)


def local_patterns(picture: Picture) -> Floats:
    """Uniform local binary patterns of 8 neighbours (Ojala et al. 2002): 10 bins at 1 pixel, 10 at 2 pixels; sums 1."""
    from skimage.feature import local_binary_pattern

    levels = np.rint(picture.grey * 255).astype(np.uint8)
    scales = (local_binary_pattern(grey, 8, 1, "uniform") for grey in (levels, levels[::2, ::2]))
    return np.concatenate([_shares(np.bincount(codes.astype(int).ravel(), minlength=10)) for codes in scales])


def co_occurrence(picture: Picture) -> Floats:
    """Contrast, homogeneity, energy, correlation (Haralick et al. 1973) of 32 grey levels at 1 and 4 pixels' distance.

    Means over four directions; contrast is over 100.
    """
    from skimage.feature import graycomatrix, graycoprops

    levels = np.minimum(picture.grey * 32, 31).astype(np.uint8)
    matrix = graycomatrix(levels, [1, 4], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 32, normed=True)
    scales = {"contrast": 0.01, "homogeneity": 1, "energy": 1, "correlation": 1}
    means = [graycoprops(matrix, name).mean(axis=1) * scale for name, scale in scales.items()]
    values: Floats = np.stack(means, axis=1).ravel()
    return values


COMPOSITION = ("aspect", "brightness", "contrast", "sharpness", "colourfulness", "white", "black", "flat", "steep",
               "ink", "mirrored", "upside_down", "entropy", "colours")  # fmt: skip


def composition(picture: Picture) -> Floats:
    """One value for each name of COMPOSITION.

    aspect: log2 of width over height. brightness, contrast: mean and deviation of luminance. sharpness: log10 of 1 +
    10,000 times the variance of the Laplacian. colourfulness: Hasler, Suesstrunk 2003, over 255. white, black: share of
    pixels within 5 % of it. flat, steep: share without any gradient, and with one above 0.2. ink: share of dark pixels
    at most 2 pixels from white, as in text. mirrored, upside_down: correlation with the picture so turned. entropy: of
    luminance, over its 8 bits. colours: log2 of the colours there are, of 4,096, over 12.
    """
    from scipy.ndimage import laplace, maximum_filter

    grey = picture.grey
    height, width = grey.shape
    red, green, blue = picture.rgb.reshape(-1, 3).T.astype(np.float32) / 255
    opponents = np.array([red - green, (red + green) / 2 - blue])
    spread, shift = opponents.std(axis=1), opponents.mean(axis=1)
    white = grey > 0.95
    levels = _shares(np.bincount(np.rint(grey * 255).astype(int).ravel(), minlength=256))
    coarse = (picture.rgb >> 4).astype(int) @ [256, 16, 1]
    values = {
        "aspect": np.log2(width / height),
        "brightness": grey.mean(),
        "contrast": grey.std(),
        "sharpness": np.log10(1 + 10_000 * laplace(grey).var()),
        "colourfulness": np.hypot(*spread) + 0.3 * np.hypot(*shift),
        "white": white.mean(),
        "black": (grey < 0.05).mean(),
        "flat": (picture.slope < 0.001).mean(),
        "steep": (picture.slope > 0.2).mean(),
        "ink": ((grey < 0.5) & maximum_filter(white, 5)).mean(),
        "mirrored": _correlation(grey, grey[:, ::-1]),
        "upside_down": _correlation(grey, grey[::-1]),
        "entropy": -(levels * np.log2(np.maximum(levels, 1e-12))).sum() / 8,
        "colours": np.log2(np.count_nonzero(np.bincount(coarse.ravel()))) / 12,
    }
    return np.array([values[name] for name in COMPOSITION])


def saliency(picture: Picture) -> Floats:
    """Share of what stands out in each of 3 x 3 thirds, row by row; sum 1, or 0 where nothing does.

    How far a pixel's colour is from the mean colour in Lab (Achanta et al. 2009).
    """
    from skimage.transform import resize_local_mean

    distance = np.linalg.norm(picture.lab - picture.lab.mean(axis=(0, 1)), axis=2)
    distance[distance < 0.1] = 0  # of rounding; a difference of 1 can just be seen
    return _shares(resize_local_mean(distance, (3, 3), preserve_range=True).ravel())


PARTS: tuple[tuple[Callable[[Picture], Floats], int], ...] = (
    (hue, 12), (saturation, 6), (value, 8), (colour_grid, 48), (gradients, 128), (local_patterns, 20),
    (co_occurrence, 8), (composition, len(COMPOSITION)), (saliency, 9),
)  # fmt: skip
"""The parts of the vector in their order, and how many values each has."""

_ENDS = list(accumulate(size for _, size in PARTS))
LAYOUT = MappingProxyType(
    {part.__name__: slice(end - size, end) for (part, size), end in zip(PARTS, _ENDS, strict=True)}
)
"""Name of a part -> where its values lie in the vector; the part's function says what they are."""


CARD = Card(
    name="image_layout",
    version=1,
    modality="image",
    doc="colour, gradients, texture and composition of a picture, by hand-made features",
    licence="Apache-2.0",
    source="this project, with scikit-image",
    dim=_ENDS[-1],
    input=ImageInput(resize=256, crop=None),
    tolerance=1e-4,
    profiles=frozenset({"embedded", "standard"}),
    settings=tuple((part.__name__, size) for part, size in PARTS),
    batch_rows=32,
    notes="Values " + ", ".join(f"{part.start} to {part.stop - 1} {name}" for name, part in LAYOUT.items()) + ".",
)


@register(CARD)
def image_layout(card: Card, weights: Weights | None) -> Run:
    def run(pictures: Sequence[Pixels]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([describe(pixels) for pixels in pictures], np.float32).reshape(len(pictures), _ENDS[-1])

    return run


def describe(pixels: Pixels) -> np.ndarray[Any, np.dtype[np.float32]]:
    """uint8 (height, width, 3), of any size, to one value for each place of LAYOUT."""
    picture = _picture(pixels)
    return np.concatenate([part(picture) for part, _ in PARTS], dtype=np.float32)


def _picture(pixels: Pixels) -> Picture:
    from skimage import color, filters

    colours = pixels.astype(np.float32) / 255
    half = colours[::2, ::2]
    grey = color.rgb2gray(colours)
    right, down = filters.sobel_v(grey), filters.sobel_h(grey)
    return Picture(
        pixels, grey, color.rgb2hsv(half), color.rgb2lab(half), np.hypot(right, down), np.arctan2(down, right)
    )


def _shares(counts: np.ndarray[Any, Any]) -> Floats:
    """Scaled to sum 1, if there is anything."""
    return counts / max(float(counts.sum()), 1e-9)


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's; 1 where nothing varies."""
    spread = float(one.std() * other.std())
    return float(((one - one.mean()) * (other - other.mean())).mean()) / spread if spread > 1e-9 else 1.0
