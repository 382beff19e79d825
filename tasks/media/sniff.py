"""What an attached file is, by its first bytes: for the ingest, and for the decoders that read it later.

Signatures as in the WHATWG MIME Sniffing Standard (section 6) and the containers' own specifications. What a file is
called is never believed. Zeros, blank lines and a byte order mark before a file are passed over, as other programs put
them there; so are tags before sound, and other junk before a JPEG or an MP3 that shows more than a signature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from otzyv.tasks.media.frames import adts_begins, mp3_begins

Format = Literal[
    "JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF",
    "WAV", "FLAC", "OGG", "MP3", "AAC", "MP4", "MATROSKA", "AMR", "CAF", "AIFF", "ASF",
]  # fmt: skip

HEAD = 2**18
"""Bytes at a file's beginning that are looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """A format, and the byte at which the file of that format begins."""

    format: Format
    media_type: str
    start: int = 0

    @property
    def kind(self) -> Literal["image", "audio"]:
        return "image" if self.media_type.startswith("image/") else "audio"


def sniff(head: bytes) -> tuple[Literal["image", "audio"], str] | None:
    """Kind and media type by a file's first ``HEAD`` bytes, or as many as it has; None for every other type."""
    found = find(head)
    return (found.kind, found.media_type) if found else None


def find(data: bytes) -> Found | None:
    """What ``data`` is and where it begins; None for what is not read here.

    Tags before sound are skipped as far as ``data`` goes; nothing else behind the first ``HEAD`` bytes is looked at.
    """
    head = data[:HEAD]
    if found := _signed(head, strict=False) or _tagged(data, 0):
        return found
    lead = len(head) - len(head.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANK))
    if lead and (found := _signed(head[lead:], strict=True) or _tagged(data, lead)):
        return replace(found, start=found.start + lead)
    box = head.find(b"ftyp", 0, lead + 8) - 4  # a box begins with its size, which may look blank
    if box > 0 and (found := _boxed(head[box:])):
        return replace(found, start=box)
    return _behind_junk(head, lead)


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b"\0\t\n\r "

_SIGNATURES: tuple[tuple[bytes, int, bytes, Format, str], ...] = (
    (b"\xff\xd8\xff", 0, b"", "JPEG", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, b"", "PNG", "image/png"),
    (b"GIF87a", 0, b"", "GIF", "image/gif"),
    (b"GIF89a", 0, b"", "GIF", "image/gif"),
    (b"RIFF", 8, b"WEBP", "WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "WAV", "audio/wav"),
    (b"RF64", 8, b"WAVE", "WAV", "audio/wav"),
    (b"BW64", 8, b"WAVE", "WAV", "audio/wav"),
    (b"fLaC", 0, b"", "FLAC", "audio/flac"),
    (b"OggS", 28, b"OpusHead", "OGG", "audio/ogg"),
    (b"OggS", 28, b"\x01vorbis", "OGG", "audio/ogg"),
    (b"OggS", 28, b"\x7fFLAC", "OGG", "audio/ogg"),
    (b"OggS", 28, b"Speex   ", "OGG", "audio/ogg"),
    (b"#!AMR\n", 0, b"", "AMR", "audio/amr"),
    (b"#!AMR-WB\n", 0, b"", "AMR", "audio/amr-wb"),
    (b"caff\0\1", 0, b"", "CAF", "audio/x-caf"),
    (b"FORM", 8, b"AIFF", "AIFF", "audio/aiff"),
    (b"FORM", 8, b"AIFC", "AIFF", "audio/aiff"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", 0, b"", "ASF", "audio/x-ms-wma"),
)
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))
_OTHER_BOXES = frozenset((b"crx ", b"jp2 ", b"jpx ", b"jpm ", b"jxl ", b"mjp2"))
"""Brands of what shares MPEG-4's container without being sound or a picture that is read."""


def _signed(head: bytes, *, strict: bool) -> Found | None:
    """What begins with ``head``. ``strict``: a frame of MP3 must be followed by a second."""
    for start, at, mark, name, media_type in _SIGNATURES:
        if head.startswith(start) and head.startswith(mark, at):
            return Found(name, media_type)
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return Found("BMP", "image/bmp")
    if head.startswith(_TIFF) and len(head) >= 8 and head[8:10] != b"CR":  # Canon's raw pictures
        return Found("TIFF", "image/tiff")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        types = {b"webm": "audio/webm", b"matroska": "audio/x-matroska"}
        return next((Found("MATROSKA", types[kind]) for kind in types if kind in head[:64]), None)
    if mp3_begins(head, 0, 2 if strict else 1) and len(head) > 3:
        return Found("MP3", "audio/mpeg")
    if adts_begins(head, 0, 3):
        return Found("AAC", "audio/aac")
    return _boxed(head)


def _boxed(head: bytes) -> Found | None:
    """By the brands of ISO 14496-12: pictures first, then sound of any brand, since writers make up their own."""
    if head[4:8] != b"ftyp" or len(head) < 12:
        return None
    brand = head[8:12]
    if brand in _OTHER_BOXES:
        return None
    brands = {brand, *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), 256) - 3, 4))}
    if brand in _AVIF or (brand in (b"mif1", b"miaf", b"msf1") and brands & _AVIF):
        return Found("AVIF", "image/avif")
    if brand in _HEIC or brand in (b"mif1", b"miaf", b"msf1"):
        return Found("HEIF", "image/heic")
    return Found("MP4", "audio/mp4")


def _tagged(data: bytes, start: int) -> Found | None:
    """The sound behind ID3 and APE tags. Where ``data`` ends within a tag it is MP3, as nearly always."""
    at = start
    while size := _tag(data, at):
        at += size
    if at == start:
        return None
    at += len(behind := data[at : at + HEAD]) - len(behind.lstrip(b"\0"))
    behind = data[at : at + HEAD]
    found = _signed(behind, strict=False) or _first_frame(behind, 0)
    if not found or found.kind != "audio":
        return Found("MP3", "audio/mpeg")
    return replace(found, start=found.start + at - start)


def _tag(data: bytes, at: int) -> int:
    """Bytes of the tag that begins at ``at``, 0 where none does."""
    if data[at : at + 3] == b"ID3" and len(size := data[at + 6 : at + 10]) == 4:
        footer = 10 if data[at + 5] & 0x10 else 0
        return 10 + footer + sum((byte & 0x7F) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
    if data[at : at + 3] == b"ID3":
        return len(data) - at
    if data[at : at + 8] == b"APETAGEX" and len(data) >= at + 32:
        return 32 + int.from_bytes(data[at + 12 : at + 16], "little")
    return 0


_JUNK = 2**14
_FOREIGN = (
    b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"FLV", b"\0\0\1\xba", b"\0\0\1\xb3", b"G@", b"\x1a\x45\xdf\xa3",
    b"PK", b"%PDF", b"MZ", b"\x7fELF", b"\xd0\xcf\x11\xe0", b"8BPS", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"{\\rtf",
    b"II*\0", b"MM\0*", b"SQLite", b"MThd", b"wOF", b"PAR1", b"BM", b"<svg", b"\xff\xfe", b"\xfe\xff",
)  # fmt: skip
"""How other files begin that may hold pictures and sound: those are not theirs to be read for."""


def _behind_junk(head: bytes, lead: int) -> Found | None:
    if head.startswith(_FOREIGN, lead) or head.startswith(_FOREIGN) or head[4:8] in (b"ftyp", b"moov", b"mdat"):
        return None
    at = head.find(b"\xff\xd8\xff", 0, lead + 256)
    if at >= 0 and _segments(head, at + 2) >= 2:
        return Found("JPEG", "image/jpeg", at)
    return _first_frame(head, lead)


def _first_frame(head: bytes, start: int) -> Found | None:
    """Where eight frames of MP3 follow each other, or as many as there are."""
    at = head.find(b"\xff", start, start + _JUNK)
    while at >= 0:
        if mp3_begins(head, at, 8) and len(head) - at > 200:
            return Found("MP3", "audio/mpeg", at)
        at = head.find(b"\xff", at + 1, start + _JUNK)
    return None


def _segments(head: bytes, at: int) -> int:
    """How many segments of a JPEG with a plausible marker and length follow each other (ITU T.81, B.1.1)."""
    count = 0
    while head[at : at + 1] == b"\xff" and head[at + 1 : at + 2] >= b"\xc0" and at + 4 <= len(head):
        count, at = count + 1, at + 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return count
