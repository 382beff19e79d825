"""What a decoder makes of an attached file: the array that an extractor reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An RGB image: shorter side resized to ``resize``, centre ``crop`` x ``crop``; uint8 (crop, crop, 3).

    ``crop=None`` keeps the whole picture, its shorter side at most ``resize``.
    """

    resize: int
    crop: int | None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    scaled_jpeg: bool = True
    """Decode JPEGs at a reduced scale of at least three times ``resize``."""
    decoder: int = 3
    """Raised when decoding gives other pixels, or reads more files (3: BMP, TIFF, HEIC, AVIF; large JPEGs; any PNG)."""


@dataclass(frozen=True, slots=True)
class AudioInput:
    """Mono float32 samples in [-1, 1] at ``rate`` Hz."""

    rate: int = 16_000
    decoder: int = 3
    """Raised when decoding gives other samples, or reads more kinds of files (3: every file to its end)."""
