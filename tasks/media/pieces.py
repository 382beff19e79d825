"""A file of sound as the whole files of one format that lie in it, and what is known of each before it is decoded.

Joining files byte by byte is how telephones, messengers and ``cat`` make one recording of several; most decoders read
the first and say nothing of the rest. A piece also tells how long its sound must be, counted from its own frames, pages
or header, so that no decoder's word has to be taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from otzyv.tasks.media.frames import mp3_begins, mp3_frame
from otzyv.tasks.media.ogg import Link, links
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.media.sniff import Format
from otzyv.tasks.media.wav import waves

READERS: dict[Format, str] = {
    "WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3", "AAC": "aac", "MP4": "mov", "MATROSKA": "matroska",
    "AMR": "amr", "CAF": "caf", "AIFF": "aiff", "ASF": "asf",
}  # fmt: skip
"""FFmpeg's names of the formats."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of one format."""

    data: bytes
    reader: str
    """FFmpeg's name of its format."""
    fast: bool = False
    """Whether libsndfile may be tried first."""
    seconds: float | None = None
    """What libsndfile's answer is held to, where that can be counted."""
    slack: float = 0.0
    """By how many seconds it may rightly differ: encoders' delay and padding."""
    at_least: float | None = None
    """Seconds that FFmpeg's answer is held to, where the file tells."""


def pieces(data: bytes, format: Format) -> Iterator[Piece]:
    """The files in ``data``, which begins with one of ``format``. Raises Refused("cut_short") or Refused("damaged")."""
    match format:
        case "WAV":
            for wave in waves(data):
                yield Piece(wave.data, "wav", fast=wave.plain, seconds=wave.seconds, at_least=wave.seconds)
        case "FLAC":
            for part in _split(data, _FLAC):
                yield _flac(part)
        case "OGG":
            for link in links(data):
                yield _ogg(link)
        case "MP3":
            yield _mp3(data)
        case "MP4":
            for part in _movies(data):
                yield Piece(part, "mov")
        case "MATROSKA":
            for part in _split(data, _MATROSKA):
                yield Piece(part, "matroska")
        case "CAF":
            yield _core_audio(data)
        case "AMR":
            for part in _split(data, _AMR):
                yield Piece(part, "amr")
        case _:
            yield Piece(data, READERS[format])


_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MATROSKA = re.compile(rb"\x1a\x45\xdf\xa3(?=.{4,60}(?:webm|matroska))", re.DOTALL)
_AMR = re.compile(rb"#!AMR(?:-WB)?\n")


def _split(data: bytes, beginning: re.Pattern[bytes]) -> Iterator[bytes]:
    starts = [0, *(match.start() for match in beginning.finditer(data, 1)), len(data)]
    for start, end in pairwise(starts):
        yield data[start:end]


def _flac(data: bytes) -> Piece:
    """By STREAMINFO (RFC 9639, 8.2): 20 bits of the rate, and 36 of how many frames, 0 where the writer didn't know."""
    rate = int.from_bytes(data[18:21], "big") >> 4
    frames = int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF
    seconds = frames / rate if frames and rate and _FLAC.match(data) else None
    return Piece(data, "flac", fast=seconds is not None, seconds=seconds, at_least=seconds)


def _ogg(link: Link) -> Piece:
    if link.vorbis_seconds is None:
        return Piece(link.data, "ogg", at_least=link.with_holes)
    return Piece(link.data, "ogg", fast=True, seconds=link.vorbis_seconds, slack=0.001)


def _mp3(data: bytes) -> Piece:
    """Every frame counted. libsndfile reads it if all are of one rate, and either of one size or told of by Xing."""
    at = frames = total = smallest = largest = 0
    rate = samples = 0
    told = any(data.find(mark, 0, 64) > 0 for mark in (b"Xing", b"Info"))
    if told:  # by a frame that holds no sound
        at = mp3_frame(data, 0)[0]
    while True:
        size, more, hertz = mp3_frame(data, at)
        if not size or (rate and hertz != rate):
            break
        frames, total, at, rate, samples = frames + 1, total + more, at + size, hertz, more
        smallest, largest = min(smallest or size, size), max(largest, size)
    if not frames or _goes_on(data[at:]):
        return Piece(data, "mp3")
    seconds, slack = total / rate, 5 * samples / rate
    return Piece(data, "mp3", fast=told or largest - smallest <= 1, seconds=seconds, slack=slack, at_least=seconds)


def _goes_on(rest: bytes) -> bool:
    """Whether frames follow behind what is none; a last frame that was cut short is not followed by any."""
    at = rest.find(b"\xff")
    while at >= 0:
        if mp3_begins(rest, at, 2) and at + 4 < len(rest):
            return True
        at = rest.find(b"\xff", at + 1)
    return False


def _core_audio(data: bytes) -> Piece:
    """Apple's format, by its chunks: a name, 64 bits of size (-1 for as far as the file goes), and so many bytes."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 12], "big", signed=True)
        if data[at : at + 4] == b"data" and at + 12 + size > len(data):
            raise Refused("cut_short")
        if size < 0:
            break
        at += 12 + size
    return Piece(data, "caf")


_BODIES = (b"moov", b"mdat", b"moof")


def _movies(data: bytes) -> Iterator[bytes]:
    """MPEG-4 files by their outermost boxes (ISO 14496-12, 4.2), without what follows the last of them.

    Raises Refused("cut_short") where a box of the sound reaches beyond the end.
    """
    at = start = 0
    has_movie = False
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:  # 64 bits, behind the type
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # as far as the file goes
            size = len(data) - at
        if size < 8 or not (kind.isascii() and kind.decode("ascii").isprintable()):
            break  # a tag, blank lines, zeros
        if at + size > len(data):
            if kind in _BODIES:
                raise Refused("cut_short")
            break
        if kind == b"ftyp" and has_movie:
            yield data[start:at]
            start, has_movie = at, False
        has_movie |= kind == b"moov"
        at += size
    yield data[start:]
