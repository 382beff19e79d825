"""Text files as UTF-8, whatever they were written in.

A byte order mark tells, else what the bytes look like; the setting ``encoding`` tells where the bytes do not. Bytes
that their encoding does not have become one that UTF-8 does not have, so that their record is refused, and no other.
"""

from __future__ import annotations

import abc
import codecs
import io
import re
from typing import BinaryIO, cast

from charset_normalizer import from_bytes

from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.reasons import SourceError
from otzyv.tasks.sources.russian import likeness

SAMPLE = 2**16
"""Bytes that an encoding is told by, from the first that is not ASCII."""
_ASCII = 2**22
"""Bytes of ASCII after which nothing else is looked for."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CYRILLIC = ("cp1251", "koi8_r", "cp866", "mac_cyrillic", "iso8859_5")
_RUSSIAN, _FEWEST = 0.5, 6
"""The share of common pairs of letters, and the number of them, that it takes to guess by."""
_OTHER_FORMATS = (
    (b"\x1f\x8b", "is gzip; let its name end in .gz"),
    (b"PK\x03\x04", "is a zip archive (an Excel file is one too); unpack it, or let its name end in .xlsx"),
    (b"PAR1", "is Parquet; let its name end in .parquet"),
    (b"\x28\xb5\x2f\xfd", "is Zstandard; let its name end in .zst"),
    (b"BZh", "is bzip2; let its name end in .bz2"),
    (b"\xfd7zXZ\x00", "is xz; unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel file; let its name end in .xls"),
    (b"%PDF-", "is a PDF, not a table of reviews"),
)
_NO_TEXT = bytes({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1b"})
_QUOTED = re.compile(rb'"[^"]*+"?')


def known(name: str) -> str:
    """The codec's own name; raises LookupError for what is no encoding of text."""
    codec = codecs.lookup(name)
    if not codec._is_text_encoding or codec.incrementaldecoder is None or codec.name in _NO_FILES:
        raise LookupError(f"{name} is no encoding of text files")
    return codec.name


_NO_FILES = frozenset(("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7"))


def opened(stream: BinaryIO, name: str, encoding: str | None, notes: Notes) -> tuple[io.RawIOBase, int, bool]:
    """``stream`` as UTF-8 with lines that end in LF, from its first record; the offset of that; whether bytes changed.

    ``encoding`` is the setting's, None where nothing is set. ``stream`` need not be seekable. Raises SourceError where
    the bytes are another format's signature or, unless they begin as JSON does, more than 5 % of the first 4 KiB (and
    more than seven) are control characters: text has next to none, binary data some 11 %. Less junk than that makes
    refused records.
    """
    head = _head(stream)
    for signature, what in _OTHER_FORMATS:
        if head.startswith(signature):
            raise SourceError(f"{name} {what}")
    raw: io.RawIOBase = _Rejoined(head, stream)
    found = _chosen(head, name, encoding, notes)
    if found != "utf-8":
        raw = _Recoded(raw, found)
        head = _read(cast(BinaryIO, raw), SAMPLE)
        raw = _Rejoined(head, cast(BinaryIO, raw))
    first = _after_marks(head)
    raw.read(first)
    start = head[first : first + 4096]
    strange = len(start) - len(start.translate(None, _NO_TEXT))
    if strange > max(len(start) / 20, 7) and not start.lstrip().startswith((b"{", b"[")):
        raise SourceError(f"{name} is binary data; it must be text")
    ends = _QUOTED.sub(b"", head[:SAMPLE])
    if b"\r" in ends and b"\n" not in ends:  # as old Macs end lines
        return _Lined(raw), first, True
    return raw, first, found != "utf-8"


def _chosen(head: bytes, name: str, said: str | None, notes: Notes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sure = _wide(head) or _utf8(head)
    if said is None:
        found = sure or _guessed(head)
        if found and not sure:
            notes.add(f"its bytes look like {found}, so it is read as that (the setting encoding can say it)", name)
        return found or "utf-8"
    if sure == "utf-8" and not _russian(head):
        sure = None  # a few letters of one byte each may be as good a character of UTF-8
    if sure and not sure.startswith(said):
        notes.add(f"it is {sure}, whatever the setting encoding says", name)
    return sure or said


def _utf8(head: bytes) -> str | None:
    """``utf-8`` where the bytes show it: more characters of several bytes than bytes that belong to none."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    bad = text.count("\ufffd")
    good = sum(map(text.count, set(text) - _ASCII_CHARACTERS)) - bad
    return "utf-8" if good and good >= bad else None


def _russian(head: bytes) -> bool:
    """Whether UTF-8 is what it takes to read it: it has more than a few Russian letters then."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    return sum(map(text.count, _LETTERS)) >= 8


_LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
_ASCII_CHARACTERS = frozenset(map(chr, range(128)))


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: nearly every character of a table's frame has a zero byte, always on the same side."""
    head = head[: len(head) // 2 * 2][:SAMPLE]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(head) < 32 or max(even, odd) * 20 < len(head) or min(even, odd) * 20 > max(even, odd):
        return None
    found = "utf-16-be" if even > odd else "utf-16-le"
    text = codecs.getincrementaldecoder(found)("replace").decode(head)
    return found if text.count("\ufffd") * 20 < len(text) and text[:1] not in "\0" else None


def _guessed(head: bytes) -> str | None:
    """The first of charset-normalizer's Cyrillic encodings under which the text reads as Russian."""
    sample = b"\n".join(line for line in head.split(b"\n") if not line.isascii())[:SAMPLE]
    if not sample:
        return None
    matches = from_bytes(sample, cp_isolation=list(CYRILLIC), preemptive_behaviour=False)
    likely = [match.encoding for match in matches if match.encoding]
    fits: dict[str, float] = {}
    for name in dict.fromkeys((*likely, *CYRILLIC)):
        text = sample.decode(name, "replace")
        share, common = likeness(text)
        if share >= _RUSSIAN and common >= _FEWEST and not _CONTROLS.search(text):
            fits[name] = share
    best = max(fits.values(), default=0)
    return next((name for name, share in fits.items() if share > best - 0.001), None)


_CONTROLS = re.compile("[\x80-\x9f]")


def _head(stream: BinaryIO) -> bytes:
    """The first bytes, up to ``SAMPLE`` after the first that is not ASCII, or ``_ASCII`` of them."""
    head = _read(stream, SAMPLE)
    while head.isascii() and 0 not in head and len(head) < _ASCII and (more := _read(stream, SAMPLE)):
        head += more
    return head


def _read(stream: BinaryIO, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := stream.read(size - len(found))):
        found += piece
    return found


def _after_marks(data: bytes) -> int:
    at = 0
    while data.startswith(codecs.BOM_UTF8, at):
        at += len(codecs.BOM_UTF8)
    return at


class _Stream(io.RawIOBase):
    """What ``_more`` gives, piece by piece, until it gives none."""

    def __init__(self) -> None:
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._ready:
            self._ready = memoryview(self._more(len(buffer)))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    @abc.abstractmethod
    def _more(self, size: int) -> bytes:
        """The next bytes, about ``size`` of them; none at the end."""


class _Rejoined(_Stream):
    """What was read to look at it, and then the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._ready, self._rest = memoryview(head), rest

    def _more(self, size: int) -> bytes:
        return self._rest.read(size)


class _Recoded(_Stream):
    def __init__(self, stream: io.RawIOBase, encoding: str) -> None:
        super().__init__()
        self._stream, self._decoder, self._ended = stream, codecs.getincrementaldecoder(encoding)("otzyv.bad"), False

    def _more(self, size: int) -> bytes:
        text = ""
        while not text and not self._ended:
            piece = self._stream.read(size) or b""
            self._ended = not piece
            text = self._decoder.decode(piece, self._ended)
        return text.encode("utf-8", "surrogateescape")


class _Lined(_Stream):
    """Lines that end in CR alone, ended by LF; within a cell too, where it is a line end as well."""

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream

    def _more(self, size: int) -> bytes:
        return (self._stream.read(size) or b"").replace(b"\r", b"\n")


def _bad(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end  # becomes the byte FF, which is in no UTF-8


codecs.register_error("otzyv.bad", _bad)
