"""Image files to uint8 arrays. Runs in decoding children: imports numpy, Pillow and simplejpeg, others as needed.

Pixels are taken as sRGB: colour profiles are not converted, as the networks' own training did not. A picture with an
alpha channel or a transparent colour lies on white. Of a moving picture the first frame counts.

JPEGs are decoded at an eighth, a quarter or a half where that leaves the shorter side at least 3 times as long as the
target, else in full: the decoder knows other eighths, but is slower at them than in full. Measured against full
decoding on MobileNetV2's real weights, with the mean embedding subtracted: cosine 0.997 at worst and 0.9995 in the
median over 13 real photographs resized to 64 pixels, 0.9986 at worst over 10 made-up ones of 3 to 12 megapixels with
natural detail (at 2.1 times 0.995, and with other eighths 0.982). At that size it saves a quarter of the time. It holds
only because the scaled picture is resized by its exact bounds: the decoder rounds the sides up, and taking the rounded
ones for the true ones moves the picture by a fraction of a pixel, enough for 0.987.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image

from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.media.png import essential
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.media.sniff import Format, find

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Box = tuple[float, float, float, float]
"""Left, upper, right, lower."""

MAX_PIXELS = 40_000_000
"""Most pixels of a decoded picture."""
MAX_JPEG_PIXELS = 200_000_000
"""Most pixels of a JPEG, which is decoded at a scale if it has more than MAX_PIXELS: telephones take such pictures."""
MAX_COEFFICIENTS = 700 << 20
"""Most bytes that a progressive JPEG may need at any scale: all its coefficients are held at once."""
MAX_ASPECT = 8
"""A whole picture longer than this many times ``resize`` is shrunk until it isn't."""
_PLUGINS: dict[Format, str] = {
    "WEBP": "PIL.WebPImagePlugin", "TIFF": "PIL.TiffImagePlugin", "AVIF": "PIL.AvifImagePlugin", "HEIF": "pillow_heif",
}  # fmt: skip
"""To find them, Image.open would import every plugin there is."""
_SCALE = 3
_EIGHTHS = (1, 2, 4)
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF's orientation -> what sets the stored picture upright."""
_END_OF_IMAGE = b"\xff\xd9"


def decode_image(data: bytes, spec: ImageInput) -> Pixels:
    """(height, width, 3), resized and cropped as ``spec`` says, as torchvision's transforms would.

    JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF, known by content. All rows must be there: a file that ends before
    its last row is refused, one that only lacks its end mark is not. Raises Refused: unknown_format, no_decoder,
    too_many_pixels (above 40 megapixels; a JPEG above 200), cut_short. Whatever else is raised means that the picture
    is broken; ``decode`` makes it Refused("damaged").
    """
    found = find(data)
    if found is None or found.kind != "image":
        raise Refused("unknown_format")
    data = data[found.start :] if found.start else data
    with warnings.catch_warnings(action="ignore"):  # of odd but readable files; nobody would see them in a child
        try:
            image = _opened(data, found.format)
        except Image.DecompressionBombError:
            raise Refused("too_many_pixels") from None
        size = image.size
        pixels, scale = _jpeg(image, data, spec) if found.format == "JPEG" else (_flat(image), 1.0)
        orientation = _orientation(image)
    turned = orientation >= 5  # by a quarter, so that width and height change places
    target, box = _window(size[::-1] if turned else size, spec)
    if target != (size[::-1] if turned else size) or scale != 1:
        left, upper, right, lower = (scale * bound for bound in _stored(box, size, orientation))
        box = (left, upper, min(right, pixels.width), min(lower, pixels.height))
        pixels = pixels.resize(target[::-1] if turned else target, _FILTERS[spec.interpolation], box)
    if orientation > 1:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    return np.asarray(pixels.convert("RGB"))


def _opened(data: bytes, format: Format) -> Image.Image:
    # Pillow raises at twice this, by what the header says and before anything is allocated for the pixels.
    Image.MAX_IMAGE_PIXELS = (MAX_JPEG_PIXELS if format == "JPEG" else MAX_PIXELS) // 2
    if format in _PLUGINS:
        plugin: Any = importlib.import_module(_PLUGINS[format])
        if format == "HEIF" and "HEIF" not in Image.OPEN:
            plugin.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
        if format == "AVIF":
            plugin.DEFAULT_MAX_THREADS = 1
    return Image.open(io.BytesIO(essential(data) if format == "PNG" else data), formats=[format])


def _jpeg(image: Image.Image, data: bytes, spec: ImageInput) -> tuple[Image.Image, float]:
    """The stored picture in mode L or RGB, and its scale: 1, or less where it is wanted or must be had smaller."""
    width, height = image.size
    eighths = 8
    if spec.scaled_jpeg:
        eighths = next((few for few in _EIGHTHS if few * min(image.size) >= 8 * _SCALE * spec.resize), 8)
    eighths = next(few for few in (8, 4, 2, 1) if few <= eighths and _area(image.size, few) <= MAX_PIXELS)
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    if image.info.get("progressive") and layers:
        blocks = sum(across * down for _, across, down, _ in layers)
        most = max(across for _, across, _, _ in layers) * max(down for _, _, down, _ in layers)
        if 2 * width * height * blocks // most > MAX_COEFFICIENTS:
            raise Refused("too_many_pixels")
    ended = _END_OF_IMAGE in data[-64:]
    for whole in (data,) if ended else (data, data + _END_OF_IMAGE, _without_zeros(data) + _END_OF_IMAGE):
        # Nothing but the end mark may be missing, which the strict decoder tells and Pillow doesn't.
        if whole is not data or image.mode in ("L", "RGB"):
            array = _strictly(whole, image.mode, image.size, eighths)
            if array is not None and image.mode in ("L", "RGB"):
                return Image.fromarray(array[:, :, 0] if image.mode == "L" else array), eighths / 8
            if array is not None:
                image = Image.open(io.BytesIO(whole), formats=["JPEG"])
                break
    if width * height > MAX_PIXELS:
        image.draft(None, (-(-width * eighths // 8), -(-height * eighths // 8)))
    try:
        return _flat(image), image.width / width
    except OSError:
        raise Refused("damaged" if ended else "cut_short") from None


def _without_zeros(data: bytes) -> bytes:
    """Without what fills up a file; a zero behind 255 is part of the picture (ITU T.81, B.1.1.5)."""
    kept = data.rstrip(b"\0")
    return kept + b"\0" if kept.endswith(b"\xff") else kept


def _area(size: tuple[int, int], eighths: int) -> int:
    return size[0] * size[1] * eighths * eighths // 64


def _strictly(data: bytes, mode: str, size: tuple[int, int], eighths: int) -> Pixels | None:
    """The picture by simplejpeg, which refuses every oddity; Pillow knows which are harmless."""
    width, height = (-(-side * eighths // 8) for side in size)
    colours = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[mode]
    try:
        array: Pixels = simplejpeg.decode_jpeg(data, colours, min_width=width, min_height=height)
    except ValueError:
        return None
    return array if array.shape[:2] == (height, width) else None


def _flat(image: Image.Image) -> Image.Image:
    """In mode L or RGB, what is transparent on white."""
    image.load()
    if image.mode.startswith("I;16"):  # grey, which Pillow would clip to 8 bits
        grey = np.asarray(image)
        key = image.info.get("transparency")
        shown = (grey >> 8).astype(np.uint8)
        return Image.fromarray(np.where(grey == key, np.uint8(255), shown) if isinstance(key, int) else shown)
    if image.mode in ("I", "F"):
        return Image.fromarray(_by_extremes(np.asarray(image, np.float64)))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(opaque, mask=opaque)
        return white
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _by_extremes(grey: np.ndarray[Any, np.dtype[np.float64]]) -> Pixels:
    """Grey of 32 bits, as instruments write it, has no full scale but 1 for floats: its darkest and brightest are."""
    low, high = float(grey.min()), float(grey.max())
    if not np.isfinite(low + high):
        raise Refused("not_numbers")
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return ((grey - low) * (255 / max(high - low, 1e-9))).round().astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where there is none, or none that can be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return 1
    return int(orientation) if orientation in _UPRIGHT else 1


def _window(size: tuple[int, int], spec: ImageInput) -> tuple[tuple[int, int], Box]:
    """For an upright picture of (width, height): the result's (width, height), and the part of the picture it shows.

    To resize that part alone gives the same pixels as to resize the whole and crop, in less time.
    """
    width, height = size
    shorter, longer = min(size), max(size)
    if spec.crop is None:
        scale = min(1.0, spec.resize / shorter, MAX_ASPECT * spec.resize / longer)
        return (max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height)
    whole = [int(spec.resize * side / shorter) for side in size]  # the longer side is rounded down, as by torchvision
    left, upper = (round((side - spec.crop) / 2) for side in whole)
    x, y = width / whole[0], height / whole[1]
    return (spec.crop, spec.crop), (left * x, upper * y, (left + spec.crop) * x, (upper + spec.crop) * y)


def _stored(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Where a part of the upright picture lies in the stored one of (width, height)."""
    left, upper, right, lower = box
    if orientation >= 5:
        left, upper, right, lower = upper, left, lower, right
    if orientation in (2, 3, 7, 8):
        left, right = size[0] - right, size[0] - left
    if orientation in (3, 4, 6, 7):
        upper, lower = size[1] - lower, size[1] - upper
    return left, upper, right, lower
