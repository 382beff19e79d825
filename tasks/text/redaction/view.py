"""A text as its reader sees it, and the way from places in there back to the text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

from otzyv.tasks.text.markup import ENTITY, character
from otzyv.tasks.text.rules import INVISIBLE
from otzyv.tasks.text.tags import INLINE, TAG

# Full-width, Arabic, circled, ...: up to the end of the planes that hold letters and signs.
_DIGITS = [c for c in map(chr, range(128, 0x20000)) if unicodedata.digit(c, None) is not None]
# One character for one, so that places in the text stay.
_USUAL = str.maketrans(
    {digit: str(unicodedata.digit(digit)) for digit in _DIGITS}
    | dict.fromkeys("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", " ")
    | dict.fromkeys(map(chr, range(0x2000, 0x200B)), " ")
    | dict.fromkeys("‐‑‒–—―−﹣－", "-")
    | dict(zip("＋﹢（）．。＠﹫／", "++()..@@/", strict=True))
)

_ZERO_WIDTH = re.compile(rf"[{INVISIBLE}\u200d\ufe0f\u20e3\u0300-\u036f]+")
# What a reader does not see: an entity stands for its character, a tag or a zero-width character for nothing. A tag
# that may hold a contact itself, <a href="tel:...">, is looked into.
_UNSEEN = re.compile(
    rf"{ENTITY.pattern}|(?=<[^<>\d@]*>)(?ai:{TAG.pattern}|<!--[^<>]*-->)"
    rf"|{_ZERO_WIDTH.pattern}|(?P<blanks>\s{{2,}})"
)


class View:
    """A text as its reader sees it, and the way from places in there back to the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        pieces: list[str] = []
        # Where each piece begins as seen, and where it lies in the text. An unseen one is cut whole or not at all.
        self._seen_at: list[int] = []
        self._lies: list[tuple[int, int, bool]] = []
        length = place = 0
        for match in _UNSEEN.finditer(text):
            begin, end = match.span()
            for piece, lies in (
                (text[place:begin], (place, begin, True)),
                (_stands_for(match), (begin, end, False)),
            ):
                if piece:
                    pieces.append(piece)
                    self._seen_at.append(length)
                    self._lies.append(lies)
                    length += len(piece)
            place = end
        pieces.append(text[place:])
        self._seen_at.append(length)
        self._lies.append((place, len(text), True))
        self.seen = "".join(pieces).translate(_USUAL)

    def lies(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text lies what is seen there."""
        return self._at(start)[0], self._at(end - 1)[1]

    def _at(self, seen: int) -> tuple[int, int]:
        """Where the character lies that is seen there: (start, end)."""
        piece = bisect_right(self._seen_at, seen) - 1
        begin, end, literal = self._lies[piece]
        start = begin + seen - self._seen_at[piece]
        return (start, start + 1) if literal else (begin, end)


def _stands_for(match: re.Match[str]) -> str:
    entity, tag = match[1], match["name"]
    if entity:
        found = character(entity)
        return match[0] if found is None else _ZERO_WIDTH.sub("", found)
    if match[0].startswith("&"):
        return "&"
    return " " if match["blanks"] or (tag and tag.lower() not in INLINE) else ""
