"""Decoding images: what comes out is the upright sRGB picture as torchvision would cut it, or a reason from a set."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.media.decode import decode
from otzyv.tasks.media.image import MAX_ASPECT, decode_image
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.media.refused import Refused

NETWORK = ImageInput(resize=64, crop=48)
WHOLE = ImageInput(resize=64, crop=None)
READ_ALL_THE_SAME = {
    "apng/chunk_no_fctl.png", "avif/hopper.heif", "png_decompression_dos.png", "truncated_end_chunk.png",
    "truncated_jpeg.jpg", "unknown_compression_method.png",
}  # fmt: skip
"""What Pillow alone refuses, though every pixel is there."""
PILLOW = Path(__file__).parents[3].parent / "shared" / "data" / "images" / "pillow"


def pixels(width: int, height: int) -> Image.Image:
    return Image.open(io.BytesIO(image("PNG", width=width, height=height)))


def waves(width: int, height: int) -> Image.Image:
    """A smooth picture that looks alike at every size, and in no two of its eight orientations."""
    x, y = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    turns = np.array([(2.0, 1.0), (3.0, -2.0), (1.0, 4.0)]).T
    return Image.fromarray((128 + 100 * np.sin(2 * np.pi * (x * turns[0] + y * turns[1]))).astype(np.uint8))


def file(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def status(data: bytes, spec: ImageInput = NETWORK) -> str:
    try:
        array = decode(spec, data)
    except Refused as refused:
        return refused.status
    assert array.dtype == np.uint8
    assert array.shape == (48, 48, 3)
    return "ok"


def difference(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@settings(deadline=None, max_examples=25)
@given(st.integers(20, 300), st.integers(20, 300), st.sampled_from([(64, 48), (64, 64), (65, 48), (232, 224)]))
@example(97, 64, (64, 48))
def test_a_picture_is_resized_and_cropped_as_by_torchvision(width: int, height: int, sides: tuple[int, int]) -> None:
    from otzyv.tasks.inference.torchvision_shim import load_torchvision

    functional = load_torchvision().transforms.functional
    resize, crop = sides
    upright = pixels(width, height).convert("RGB")
    wanted = np.asarray(functional.center_crop(functional.resize(upright, resize), crop))
    assert difference(decode_image(file(upright), ImageInput(resize, crop)), wanted) <= 2  # rounded twice


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("spec", [NETWORK, WHOLE, ImageInput(resize=500, crop=None)])
@pytest.mark.parametrize("size", [(211, 166), (166, 211)])
def test_a_picture_is_set_upright(format: str, orientation: int, spec: ImageInput, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file(waves(*size), format, exif=exif, quality=95)
    upright = file(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert difference(decode_image(data, spec), decode_image(upright, spec)) <= (4 if format == "JPEG" else 1)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("exif", [b"", b"\xff" * 30, b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\xff\1\x12"])
def test_exif_that_can_not_be_read_leaves_the_picture_as_stored(format: str, exif: bytes) -> None:
    stored = file(waves(90, 60), format, quality=95)
    with_exif = file(waves(90, 60), format, quality=95, exif=b"Exif\0\0" + exif)
    assert np.array_equal(decode_image(with_exif, WHOLE), decode_image(stored, WHOLE))


SIDES = st.integers(130, 1200)


@settings(deadline=None, max_examples=25)
@given(SIDES, SIDES, st.booleans())
@example(271, 903, False)
def test_a_jpeg_decoded_at_a_smaller_scale_is_not_moved(width: int, height: int, whole: bool) -> None:
    data = file(waves(width, height), "JPEG", quality=95)
    scaled, full = (
        decode_image(data, ImageInput(64, None if whole else 48, scaled_jpeg=scale)).astype(int)
        for scale in (True, False)
    )
    error = np.abs(scaled - full).mean()
    assert error < 0.7
    moved = [
        np.abs(np.roll(scaled, step, axis)[2:-2, 2:-2] - full[2:-2, 2:-2]).mean() for step in (-1, 1) for axis in (0, 1)
    ]
    assert error < min(moved) / 2


RED, WHITE, GREY = (255, 0, 0), (255, 255, 255), (128, 128, 128)


def transparent(mode: str, colour: Any) -> Image.Image:
    """Its left half of that colour, its right half fully transparent."""
    picture = Image.new(mode, (80, 80))
    picture.paste(colour, (0, 0, 40, 80))
    return picture


def animation() -> bytes:
    return file(
        Image.new("RGB", (80, 80), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (80, 80), "blue")]
    )


def sixteen_bits() -> bytes:
    return file(Image.fromarray(np.full((80, 80), 128 << 8, np.uint16)))


def keyed() -> bytes:
    """Grey, black standing for transparent."""
    picture = Image.new("L", (80, 80))
    picture.paste(128, (0, 0, 40, 80))
    return file(picture, transparency=0)


@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        (file(transparent("RGBA", (*RED, 255))), RED, WHITE),
        (file(transparent("RGBA", (*RED, 255)), "WEBP", lossless=True), RED, WHITE),
        (file(transparent("LA", (128, 255))), GREY, WHITE),
        (file(transparent("RGBA", (*RED, 255)), "GIF"), RED, WHITE),
        (file(transparent("RGBA", (*RED, 255)).quantize(8)), RED, WHITE),
        (keyed(), GREY, WHITE),
        (sixteen_bits(), GREY, GREY),
        (file(Image.new("L", (80, 80), 128), "JPEG"), GREY, GREY),
        (file(Image.new("L", (1, 1), 128), "JPEG"), GREY, GREY),
        (file(Image.new("1", (80, 80), 1)), WHITE, WHITE),
        (file(Image.new("CMYK", (80, 80), (0, 255, 255, 0)), "JPEG", quality=95), RED, RED),
        (animation(), RED, RED),
    ],
    ids=[
        "rgba",
        "webp",
        "grey_alpha",
        "gif",
        "palette",
        "grey_key",
        "16_bit",
        "grey_jpeg",
        "one_pixel",
        "1_bit",
        "cmyk",
        "first_frame",
    ],
)
def test_every_kind_of_pixel_becomes_rgb_on_white(data: bytes, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    array = decode_image(data, NETWORK)
    assert np.abs(array[24, 4].astype(int) - left).max() <= 2
    assert np.abs(array[24, -4].astype(int) - right).max() <= 2


def declared(format: str, width: int, height: int) -> bytes:
    """A small file whose header speaks of a picture of that size."""
    data = bytearray(file(Image.new("RGB", (8, 8)), format))
    match format:
        case "PNG":
            data[16:24] = struct.pack(">II", width, height)
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        case "JPEG":
            start = data.index(b"\xff\xc0") + 5
            data[start : start + 4] = struct.pack(">HH", height, width)
        case "GIF":
            data[6:10] = struct.pack("<HH", width, height)
        case "WEBP":
            sides = struct.pack("<II", width - 1, height - 1)
            extended = b"VP8X" + struct.pack("<II", 10, 0) + sides[:3] + sides[4:7]
            data[12:12] = extended
            data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_above_40_megapixels_a_picture_is_refused_by_its_header(format: str) -> None:
    times = 5 if format == "JPEG" else 1  # which is decoded at a scale
    assert status(declared(format, 8_000, 5_001 * times)) == "too_large"
    assert status(declared(format, 16_000, 16_000)) == "too_large"
    assert status(declared(format, 8_000, 5_000 * times)) in ("ok", "undecodable")  # and so it was tried


def test_a_picture_of_40_megapixels_is_read() -> None:
    assert status(file(Image.new("L", (8_000, 5_000), 7), "JPEG")) == "ok"


@pytest.mark.parametrize("format", ["ICO", "PPM", "JPEG2000", "TGA", "PCX", "DDS"])
def test_other_formats_are_unsupported(format: str) -> None:
    assert status(file(pixels(40, 40).convert("RGB"), format)) == "unsupported"


@pytest.mark.parametrize("data", [b"", b"\0", b"GIF", b"%PDF-1.7", b"RIFF\0\0\0\0WAVEfmt ", b"<svg xmlns='x'/>"])
def test_what_is_no_image_is_unsupported(data: bytes) -> None:
    assert status(data) == "unsupported"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_file_cut_short_is_undecodable(format: str) -> None:
    whole = image(format)
    assert status(whole) == "ok"
    cuts = np.linspace(16, len(whole) * 0.9, 12).astype(int)
    assert {status(whole[:cut]) for cut in cuts} == {"undecodable"}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.data())
def test_whatever_the_bytes_the_answer_is_a_picture_or_a_reason(format: str, draw: st.DataObject) -> None:
    data = bytearray(image(format, width=40, height=30))
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(4, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert status(bytes(data)) in ("ok", "undecodable", "unsupported", "too_large")


@pytest.mark.parametrize("size", [(3_000, 3), (2, 5_000), (1, 1), (64, 64), (65, 700)])
def test_a_whole_picture_keeps_its_shape_within_bounds(size: tuple[int, int]) -> None:
    height, width, _ = decode_image(file(Image.new("RGB", size)), WHOLE).shape
    scale = min(1, 64 / min(size), MAX_ASPECT * 64 / max(size))
    assert (width, height) == tuple(max(1, round(side * scale)) for side in size)
    assert max(width, height) <= MAX_ASPECT * 64


@pytest.mark.skipif(not PILLOW.is_dir(), reason="needs ../shared/data/images/pillow")
def test_pillows_own_test_images_are_read_where_pillow_reads_them() -> None:
    rows = [line.split("\t") for line in (PILLOW / "PROBE.tsv").read_text().splitlines()[1:]]
    outcomes = {name: outcome for name, _, outcome in rows}
    ours = tuple(f"OK ('{name}'" for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"))
    readable = {name for name, outcome in outcomes.items() if outcome.startswith(ours)} | READ_ALL_THE_SAME
    assert len(readable) > 150
    got = {name: status((PILLOW / name).read_bytes()) for name in outcomes if (PILLOW / name).is_file()}
    assert {name for name, found in got.items() if found == "ok"} == readable & set(got)
