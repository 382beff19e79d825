"""WAV files whose headers are right, made from those whose headers are not.

Recorders that write to a pipe or lose their power leave the sizes open (0, or as large as can be); others count the
header in, forget the pad byte behind an odd number of bytes, or need 64 bits (RF64, BW64). The samples lie there all
the same, and the header tells how they are coded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from otzyv.tasks.media.refused import Refused

SHORT = 64
"""Bytes that may be missing at the end: a header's size, which some writers count in."""
_OPEN = 0x7FFF_0000
"""Sizes from here on are marks of those who write to a pipe."""
_PLAIN = (1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE)
"""Codings that libsndfile reads: PCM, ADPCM (MS and IMA), float, A-law, mu-law, GSM, and what names one of them."""
_BLANK = b"\0\t\n\r "
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"<", b"RIFF", b"RF64", b"BW64")


@dataclass(frozen=True, slots=True)
class Wave:
    """A WAV file with the right sizes."""

    data: bytes
    plain: bool
    """Whether libsndfile reads its coding."""
    seconds: float | None
    """How long it is, where every sample takes as many bytes as any other."""


def waves(data: bytes) -> Iterator[Wave]:
    """The files that follow each other in ``data``; anything else behind the last of them is left out."""
    at: int | None = 0
    while at is not None:
        wave, at = _wave(data, at)
        yield wave


def _wave(data: bytes, at: int) -> tuple[Wave, int | None]:
    """The file that begins at ``at``, and where the next does."""
    told = int.from_bytes(data[at + 4 : at + 8], "little")
    form, fact, long, place = b"", b"", None, at + 12
    while True:
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if len(data) < place + 8:
            raise Refused("cut_short")
        place += 8
        if name == b"data":
            break
        if not _name(name):
            raise Refused("damaged")
        body = data[place : place + size]
        if name == b"fmt ":
            form = body
        elif name == b"fact":
            fact = body
        elif name == b"ds64" and len(body) >= 16:
            long = int.from_bytes(body[8:16], "little")
        place += size
        place += size % 2 if _name(data[place + size % 2 : place + size % 2 + 4]) else 0
    if len(form) < 16:
        raise Refused("damaged")
    if size == 0xFFFF_FFFF and long is not None:
        size = long
    end = _end(data, place, size, at + 8 + told)
    following = _following(data, end)
    coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    frame = channels * ((bits + 7) // 8)
    if coding in (1, 3, 0xFFFE) and not frame:
        raise Refused("damaged")
    even = coding in (1, 3, 6, 7, 0xFFFE) and frame and rate >= 1000
    count = (end - place) // frame if even else 0
    if at == 0 and following is None and end == place + size and told == len(data) - 8 and data[:4] == b"RIFF":
        whole = data
    else:
        whole = _file(form, fact, data[place:end])
    return Wave(whole, coding in _PLAIN, count / rate if even else None), following


def _end(data: bytes, start: int, size: int, told: int) -> int:
    """Where the samples that begin at ``start`` end, if the header says they take ``size`` bytes.

    ``told``: where it says that the file ends.
    """
    there = len(data) - start
    if size >= _OPEN and size > there:
        return len(data)
    if size > there + SHORT:
        raise Refused("cut_short")
    if size >= there:
        return len(data)
    end = start + size
    known = _chunk_at(data, end) or _chunk_at(data, end + 1) or data.startswith(_TAGS, end)
    known = known or not data[end:].strip(_BLANK)
    # Samples behind the last one counted: the header was written before they were.
    return end if known or (size and told in (end, end + size % 2)) else len(data)


def _following(data: bytes, at: int) -> int | None:
    """Where the next file begins, behind the chunks that follow the samples."""
    while at + 12 <= len(data):
        for start in (at, at + 1):
            if data[start : start + 4] in (b"RIFF", b"RF64", b"BW64") and data[start + 8 : start + 12] == b"WAVE":
                return start
        start = at if _chunk_at(data, at) else at + 1
        if not _chunk_at(data, start):
            return None
        at = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    return None


def _chunk_at(data: bytes, at: int) -> bool:
    """Whether a chunk with a name and a size that fits begins there."""
    return _name(data[at : at + 4]) and at + 8 + int.from_bytes(data[at + 4 : at + 8], "little") <= len(data)


def _name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _file(form: bytes, fact: bytes, samples: bytes) -> bytes:
    body = _chunk(b"fmt ", form) + (_chunk(b"fact", fact) if fact else b"") + _chunk(b"data", samples)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
