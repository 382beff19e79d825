"""Pictures as people attach them: every format, depth and oddity of a file shows the picture that was drawn."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from otzyv.tasks.media.decode import decode
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.media.sniff import HEAD, sniff
from tests.tasks.extractors.test_decode_image import file, waves

Array = np.ndarray[Any, Any]
WHOLE = ImageInput(resize=500, crop=None)
"""As it is, for small pictures."""
SIZE = (92, 61)
DRAWN = waves(*SIZE)


def shown(data: bytes, spec: ImageInput = WHOLE) -> Array:
    """The decoded picture; the ingest takes the file for one, too."""
    found = sniff(data[:HEAD])
    assert found is not None
    assert found[0] == "image"
    return decode(spec, data)


def reason(data: bytes, spec: ImageInput = WHOLE) -> str:
    with pytest.raises(Refused) as refused:
        decode(spec, data)
    return refused.value.reason


def heic(picture: Image.Image, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    return file(picture, "HEIF", **options)


def mean_difference(one: Array, other: Array) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(array: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours in the middle of the left and of the right half."""
    height, width, _ = array.shape
    left, right = array[height // 2, width // 4], array[height // 2, 3 * width // 4]
    return tuple(map(int, left)), tuple(map(int, right))


def near(found: tuple[tuple[int, ...], tuple[int, ...]], *wanted: tuple[int, ...]) -> bool:
    return int(np.abs(np.subtract(found, wanted)).max()) <= 3


# HEIC, AVIF, TIFF


@pytest.mark.parametrize(
    ("data", "apart"),
    [
        (heic(DRAWN, quality=-1, chroma=444, matrix_coefficients=0), 0),
        (heic(DRAWN, quality=90), 10),
        (file(DRAWN, "AVIF", quality=100, subsampling="4:4:4"), 1),
        (file(DRAWN, "AVIF", quality=90), 5),
        (file(DRAWN, "BMP"), 0),
        (file(DRAWN, "WEBP", lossless=True), 0),
        *((file(DRAWN, "TIFF", compression=name), 0)
          for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd")),
        (file(DRAWN, "TIFF", compression="jpeg", quality=95), 5),
        (file(DRAWN, "TIFF", save_all=True, append_images=[Image.new("RGB", (500, 300), RED)]), 0),
    ],
    ids=["heic exact", "heic", "avif exact", "avif", "bmp", "webp", "tiff", "lzw", "deflate", "packbits", "lzma",
         "zstd", "jpeg", "pages"],
)  # fmt: skip
def test_a_picture_looks_alike_in_every_format(data: bytes, apart: int) -> None:
    assert mean_difference(shown(data), np.asarray(DRAWN)) <= apart


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["HEIF", "AVIF", "TIFF"])
def test_a_picture_of_a_telephone_is_set_upright_once(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = file(DRAWN, "PNG", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stored))))
    if format == "HEIF":
        data = heic(Image.open(io.BytesIO(stored)), quality=95, chroma=444)
        assert (b"irot" in data or b"imir" in data) == (orientation > 1)  # its own way of saying so
    else:
        data = file(DRAWN, format, exif=exif, **({"quality": 95} if format == "AVIF" else {}))
    assert mean_difference(shown(data), wanted) < 5


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "TIFF", "PNG", "WEBP"])
def test_what_is_transparent_lies_on_white(format: str) -> None:
    picture = Image.new("RGBA", SIZE)
    picture.paste((*RED, 255), (0, 0, SIZE[0] // 2, SIZE[1]))
    data = heic(picture, quality=-1, chroma=444) if format == "HEIF" else file(picture, format)
    assert near(halves(shown(data)), RED, WHITE)


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "P", "LA", "I;16", "I;16B", "F", "I"])
def test_every_kind_of_tiff_shows_its_greys(mode: str) -> None:
    steps = np.linspace(0, 255, 92).round()[None].repeat(61, 0)
    grey = Image.fromarray(steps.astype(np.uint8))
    match mode:
        case "I;16" | "I;16B":
            picture = Image.fromarray((steps * 257).astype("<u2" if mode == "I;16" else ">u2"))
        case "F":
            picture = Image.fromarray((steps / 255).astype(np.float32))
        case "I":
            picture = Image.fromarray((steps * 1_000_003).astype(np.int32))
        case _:
            picture = grey.convert(mode, dither=Image.Dither.NONE) if mode == "1" else grey.convert(mode)
    wanted = np.where(steps > 127, 255, 0) if mode == "1" else steps
    array = shown(file(picture, "TIFF", **({"compression": "group4"} if mode == "1" else {})))
    assert np.abs(array.astype(int) - wanted[..., None]).max() <= 2


# BMP


def bitmap(rows: bytes, bits: int, *, palette: bytes = b"", compression: int = 0, masks: bytes = b"",
           down: bool = False, os2: bool = False, width: int = 8, height: int = 4) -> bytes:  # fmt: skip
    """Of 8 x 4 pixels; ``rows`` from the bottom up, unless ``down``."""
    if os2:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
        palette = b"".join(palette[at : at + 3] for at in range(0, len(palette), 4))
    else:
        count = len(palette) // 4
        header = struct.pack("<IiiHHIIiiII", 40, width, -height if down else height, 1, bits, compression, len(rows),
                             2835, 2835, count, 0)  # fmt: skip
    start = 14 + len(header) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + masks + palette + rows


COLOURS = bytes((0, 0, 255, 0, 255, 0, 0, 0))  # red, blue
FULL = COLOURS + bytes((0, 0, 0, 0)) * 254
RGB24 = (b"\0\0\xff" * 4 + b"\xff\0\0" * 4) * 4


@pytest.mark.parametrize(
    "data",
    [
        bitmap(b"\x0f\0\0\0" * 4, 1, palette=COLOURS),
        bitmap(b"\x00\x00\x11\x11" * 4, 4, palette=COLOURS + bytes(56)),
        bitmap((bytes(4) + b"\1" * 4) * 4, 8, palette=FULL),
        bitmap((b"\x00\x7c" * 4 + b"\x1f\x00" * 4) * 4, 16),
        bitmap((b"\x00\xf8" * 4 + b"\x1f\x00" * 4) * 4, 16, compression=3,
               masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
        bitmap(RGB24, 24),
        bitmap((b"\0\0\xff\0" * 4 + b"\xff\0\0\0" * 4) * 4, 32),
        bitmap((b"\0\0\xff\xff" * 4 + b"\xff\0\0\xff" * 4) * 4, 32, compression=3,
               masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)),
        bitmap(b"\x04\0\x04\1\0\0" * 4 + b"\0\1", 8, palette=FULL, compression=1),
        bitmap(b"\x04\0\0\4\1\1\1\1\0\0" * 4 + b"\0\1", 8, palette=FULL, compression=1),
        bitmap(b"\x04\0\x04\x11\0\0" * 4 + b"\0\1", 4, palette=COLOURS + bytes(56), compression=2),
        bitmap(RGB24, 24, down=True),
        bitmap(RGB24, 24, os2=True),
        bitmap((bytes(4) + b"\1" * 4) * 4, 8, palette=FULL, os2=True),
    ],
    ids=["1", "4", "8", "16 555", "16 565", "24", "32", "32 masks", "rle 8", "rle 8 plain", "rle 4", "top down",
         "os/2 24", "os/2 8"],
)  # fmt: skip
def test_a_bitmap_of_every_depth_shows_its_halves(data: bytes) -> None:
    assert near(halves(shown(data)), RED, BLUE)
    assert shown(data).shape == (4, 8, 3)


@pytest.mark.parametrize("down", [True, False])
def test_a_bitmap_stands_the_right_way_up(down: bool) -> None:
    rows = (b"\0\0\xff" * 8) * 2 + (b"\xff\0\0" * 8) * 2
    array = shown(bitmap(rows, 24, down=down))
    assert array[0, 0].tolist() == list(RED if down else BLUE)
    assert array[-1, 0].tolist() == list(BLUE if down else RED)


# PNG


def chunk(name: bytes, body: bytes, *, right: bool = True) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ (not right))


def png_with(*chunks: bytes, picture: Image.Image = DRAWN) -> bytes:
    """The chunks stand behind the header."""
    data = file(picture)
    return data[:33] + b"".join(chunks) + data[33:]


NOISE = np.random.default_rng(1).bytes(2_000_000)


@pytest.mark.parametrize(
    "data",
    [
        png_with(chunk(b"tEXt", b"Comment\0" + NOISE)),
        png_with(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(30_000_000)))),
        png_with(chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(30_000_000)))),
        png_with(*[chunk(b"tEXt", b"Comment\0%d" % number) for number in range(20_000)]),
        png_with(chunk(b"zTXt", b"Comment\0\0" + NOISE[:100])),
        png_with(chunk(b"tEXt", b"Comment\0text", right=False)),
        png_with(chunk(b"iCCP", b"profile\0\0" + NOISE[:300])),
        png_with(chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(30_000_000)))),
        png_with(chunk(b"gAMA", b"\0", right=False), chunk(b"sRGB", b""), chunk(b"pHYs", b"x")),
        png_with(chunk(b"eXIf", NOISE[:50])),
        png_with(chunk(b"eXIf", b"MM\0*", right=False)),
        png_with(chunk(b"acTL", b"\0\0\0\x09\0\0\0\0")),
        file(DRAWN)[:-12],
        file(DRAWN)[:-16],
        file(DRAWN)[:-7],
        file(DRAWN) + NOISE[:5_000],
        b"\r\n" + file(DRAWN),
        b"\xef\xbb\xbf" + file(DRAWN),
    ],
    ids=["large text", "text bomb", "itxt bomb", "many texts", "broken text", "bad sum", "broken profile",
         "profile bomb", "broken notes", "broken exif", "bad exif", "no animation", "no end", "no sum", "half an end",
         "junk behind", "line before", "mark before"],
)  # fmt: skip
def test_what_is_no_pixel_of_a_png_keeps_none_from_being_read(data: bytes) -> None:
    assert np.array_equal(shown(data), np.asarray(DRAWN))


def test_a_broken_pixel_does() -> None:
    data = file(DRAWN)
    at = data.index(b"IDAT") + 30
    assert reason(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "damaged"
    assert reason(b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)) + data[8:]) == "no_decoder"


def raw_png(depth: int, colour: int, row: bytes, *chunks: bytes, width: int = 8) -> bytes:
    """Four equal rows."""
    header = struct.pack(">IIBBBBB", width, 4, depth, colour, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress((b"\0" + row) * 4))
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", header), *chunks, rows, chunk(b"IEND", b"")))


GREY = (85, 85, 85)


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (raw_png(1, 0, b"\x0f", chunk(b"tRNS", b"\0\1")), (0, 0, 0)),
        (raw_png(2, 0, b"\x55\xaa", chunk(b"tRNS", b"\0\2")), GREY),
        (raw_png(4, 0, b"\x55\x55\xaa\xaa", chunk(b"tRNS", b"\0\x0a")), GREY),
        (raw_png(8, 0, b"\x55" * 4 + b"\xaa" * 4, chunk(b"tRNS", b"\0\xaa")), GREY),
        (raw_png(16, 0, b"\x55\x01" * 4 + b"\x55\x02" * 4, chunk(b"tRNS", b"\x55\x02")), GREY),
        (raw_png(16, 4, b"\x55\x01\xff\xff" * 4 + bytes(16)), GREY),
        (raw_png(8, 2, bytes(RED) * 4 + bytes(BLUE) * 4, chunk(b"tRNS", b"\0\0\0\0\0\xff")), RED),
        (raw_png(16, 2, b"\xff\xff\0\0\0\0" * 4 + b"\0\0\0\0\xff\xfe" * 4, chunk(b"tRNS", b"\0\0\0\0\xff\xfe")), RED),
        (raw_png(16, 6, b"\xff\xff\0\0\0\0\xff\xff" * 4 + bytes(32)), RED),
        (raw_png(4, 3, b"\0\0\x11\x11", chunk(b"PLTE", bytes(RED + BLUE)), chunk(b"tRNS", b"\xff\0")), RED),
    ],
    ids=["1", "2", "4", "8", "16", "16 alpha", "rgb", "rgb 16", "rgba 16", "palette"],
)
def test_a_transparent_colour_of_any_depth_lies_on_white(data: bytes, left: tuple[int, ...]) -> None:
    assert near(halves(shown(data)), left, WHITE)


# JPEG


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("spec", [WHOLE, ImageInput(resize=24, crop=16)])
def test_a_jpeg_without_its_end_mark_is_whole_and_one_without_a_row_is_not(
    mode: str, options: dict[str, Any], spec: ImageInput
) -> None:
    data = file(waves(400, 300).convert(mode), "JPEG", quality=95, **options)
    wanted = shown(data, spec)
    for end in (b"", b"\xff", b"\0\0\0", b"\xff\xd9\r\n", b"\xff\xd9" + bytes(100) + b"\xff\xd9"):
        assert np.array_equal(shown(data[:-2] + end, spec), wanted)
    for missing in (0.02, 0.3, 0.7):
        assert reason(data[: int(len(data) * (1 - missing))], spec) == "cut_short"


@pytest.mark.parametrize("junk", [b"\r\n", b"\n\n\n", b"\xef\xbb\xbf", bytes(5), b"<br />\n<b>Notice</b>: a line\n"])
def test_a_jpeg_is_found_behind_what_a_server_said_first(junk: bytes) -> None:
    data = file(DRAWN, "JPEG", quality=95)
    assert np.array_equal(shown(junk + data), shown(data))


@pytest.mark.parametrize("size", [(8_000, 6_000), (6_120, 8_160), (12_000, 9_000)])
@pytest.mark.parametrize("spec", [ImageInput(224, 224), ImageInput(224, 224, scaled_jpeg=False), WHOLE])
def test_a_jpeg_of_48_to_108_megapixels_is_decoded_at_a_scale(size: tuple[int, int], spec: ImageInput) -> None:
    small = waves(size[0] // 40, size[1] // 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file(small.resize(size, Image.Resampling.NEAREST), "JPEG", quality=80, exif=exif)
    wanted = shown(file(small.transpose(Image.Transpose.ROTATE_270)), spec)
    array = shown(data, spec)
    if spec is WHOLE:
        wanted = np.asarray(Image.fromarray(wanted).resize(array.shape[1::-1], Image.Resampling.BILINEAR))
    assert mean_difference(array, wanted) < 6


def test_a_progressive_jpeg_that_needs_too_much_memory_is_refused_by_its_header() -> None:
    data = bytearray(file(Image.new("RGB", (64, 64)), "JPEG", progressive=True, subsampling=0))
    start = data.index(b"\xff\xc2") + 5
    data[start : start + 4] = struct.pack(">HH", 12_000, 12_000)
    assert reason(bytes(data)) == "too_many_pixels"


def test_the_inks_of_a_printer_are_read_whichever_way_round_they_are_stored() -> None:
    inks = Image.new("CMYK", (80, 80), (0, 255, 255, 0))
    adobe = file(inks, "JPEG", quality=95)  # stored upside down, as Adobe does
    assert b"Adobe" in adobe
    assert near(halves(shown(adobe)), RED, RED)
    assert near(halves(shown(file(inks, "TIFF"))), RED, RED)
