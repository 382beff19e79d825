"""Ogg's pages (RFC 3533): the links of a chain, and whether libsndfile reads a link whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_FIRST, _LAST = 2, 4
_NO_POSITION = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Page:
    start: int
    end: int
    flags: int
    position: int
    """How many samples are complete at its end, as the coding counts them."""
    serial: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Link:
    """A stream, or several at a time, from beginning to end."""

    data: bytes
    vorbis_seconds: float | None
    """How long it is, if it is one stream of Vorbis with every page in its place, the end of stream on the last."""
    with_holes: float | None
    """How long it was at least, if it is one stream that lacks pages."""


def links(data: bytes) -> Iterator[Link]:
    """Bytes that are no page are left out. A page of zeros or junk between two others does not end the chain."""
    pages: list[_Page] = []
    for page in _pages(data):
        if page.flags & _FIRST and pages and not pages[-1].flags & _FIRST:
            yield _link(data, pages)
            pages = []
        pages.append(page)
    if pages:
        yield _link(data, pages)


def _pages(data: bytes) -> Iterator[_Page]:
    at = data.find(b"OggS")
    while at >= 0 and at + 27 <= len(data):
        lengths = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + data[at + 26] + sum(lengths)
        if data[at + 4] == 0 and end <= len(data):
            position = int.from_bytes(data[at + 6 : at + 14], "little")
            number = int.from_bytes(data[at + 18 : at + 22], "little")
            yield _Page(at, end, data[at + 5], position, data[at + 14 : at + 18], number)
            at = end if data.startswith(b"OggS", end) else data.find(b"OggS", end)
        else:
            at = data.find(b"OggS", at + 4)


def _link(data: bytes, pages: list[_Page]) -> Link:
    first, last = pages[0], pages[-1]
    head = data[first.start + 28 : first.end]
    rate = 48_000 if head.startswith(b"OpusHead") else 0
    for mark, at in ((b"\x01vorbis", 12), (b"Speex   ", 36)):
        if head.startswith(mark):
            rate = int.from_bytes(head[at : at + 4], "little")
    alone = rate > 0 and all(page.serial == first.serial for page in pages)
    in_place = alone and all(page.number == at for at, page in enumerate(pages))
    joined = all(page.end == other.start for page, other in pairwise(pages))
    ends = [at for at, page in enumerate(pages, start=1) if page.flags & _LAST]
    positions = [page.position for page in pages if 0 < page.position < _NO_POSITION]
    vorbis = with_holes = None
    if head.startswith(b"\x01vorbis") and in_place and joined and ends == [len(pages)] and positions:
        vorbis = positions[-1] / rate
    elif alone and not in_place and positions:
        with_holes = (positions[-1] - positions[0]) / rate
    return Link(data[first.start : last.end], vorbis, with_holes)
