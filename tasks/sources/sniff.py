"""What an attached file is, by its first bytes."""

from __future__ import annotations

from typing import Literal


def sniff(head: bytes) -> tuple[Literal["image", "audio"], str] | None:
    """Kind and media type by the first bytes of a file (64 are enough), None for every other type.

    Signatures as in the WHATWG MIME Sniffing Standard (section 6) and the containers' own specifications.
    """
    for start, at, mark, kind, media_type in _SIGNATURES:
        if head.startswith(start) and head[at:].startswith(mark):
            return kind, media_type
    if head[4:8] == b"ftyp" and head[8:12] in _MP4_BRANDS:
        return "audio", "audio/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return "audio", "audio/webm"
    return ("audio", "audio/mpeg") if _is_mp3_frame(head) else None


_SIGNATURES: tuple[tuple[bytes, int, bytes, Literal["image", "audio"], str], ...] = (
    (b"\xff\xd8\xff", 0, b"", "image", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image", "image/png"),
    (b"GIF87a", 0, b"", "image", "image/gif"),
    (b"GIF89a", 0, b"", "image", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio", "audio/wav"),
    (b"RF64", 8, b"WAVE", "audio", "audio/wav"),
    (b"fLaC", 0, b"", "audio", "audio/flac"),
    (b"OggS", 28, b"OpusHead", "audio", "audio/ogg"),
    (b"OggS", 28, b"\x01vorbis", "audio", "audio/ogg"),
    (b"OggS", 28, b"\x7fFLAC", "audio", "audio/ogg"),
    (b"ID3", 0, b"", "audio", "audio/mpeg"),
)
_MP4_BRANDS = frozenset(
    b"M4A |M4B |M4V |F4A |isom|iso2|iso3|iso4|iso5|iso6|iso7|iso8|iso9|mp41|mp42|avc1|dash|MSNV|qt  |"
    b"3gp4|3gp5|3gp6|3gp7|3gp8|3gp9|3g2a|3g2b|3g2c".split(b"|")
)
"""Brands of MPEG-4 with sound (mp4ra.org); HEIC and AVIF pictures share the container."""


def _is_mp3_frame(head: bytes) -> bool:
    """Whether an MPEG audio layer III frame header stands here (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and bitrate not in (0, 15) and rate != 3
