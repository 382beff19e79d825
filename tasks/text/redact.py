"""Phone numbers and e-mail addresses in a raw text give way to a mark, before anything else reads it.

Where a number could be either, it counts as a phone: a mark too many does less harm than a person's number in the lake.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

from tasks.text.markup import ENTITY, character
from tasks.text.rules import INVISIBLE
from tasks.text.tags import INLINE, TAG

PHONE = "[телефон]"
MAIL = "[почта]"

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

_LOCAL = r"\w.+%-"
_CYRILLIC_ZONES = "рф|рус|дети|москва|онлайн|сайт|орг|ком|бел|укр|срб|мкд|мон|қаз|бг|ею|католик"
# The address ends where a known zone does, so that «ivan@mail.ru.Спасибо» keeps the thanks. A run of local characters
# is tried from its start only, so that the search is linear in any text; addresses run together get one mark.
_ZONE = rf"xn--[a-z0-9-]{{2,59}}+|(?:{_CYRILLIC_ZONES})(?![а-яё])|[^\W\d_а-яё]{{2,63}}+"
_MAIL = re.compile(
    rf"(?<![{_LOCAL}])(?:[{_LOCAL}]++@(?:(?:[\w-]+\.)+(?:{_ZONE})|(?:[\w-]+\.)+[а-яё]{{2,63}}+))++", re.IGNORECASE
)

_S = r"[\s.()/_-]{0,8}"
_PHONE = re.compile(
    r"(?:(?=[+(])|(?<!\d)(?=\d))(?:"
    rf"(?P<russian>(?:\+\s?\(?)?[78]{_S}[34789](?:{_S}\d){{9}})"
    rf"|(?P<abroad>\+\(?\d(?:{_S}\d){{9,14}}|00{_S}[1-9](?:{_S}\d){{9,12}})"
    rf"|(?:375|380|99[24568])(?:{_S}\d){{9}}"
    rf"|\([3489]\d\d\)(?:{_S}\d){{7}}|\([3489]\d{{3}}\)(?:{_S}\d){{6}}|\([3489]\d{{4}}\)(?:{_S}\d){{5}}"
    r"|[3489]\d\d-\d{3}-\d\d-?\d\d|9\d\d[ .]\d{3}[ .-]\d\d[ .-]?\d\d|9\d{9}"
    r"|(?P<local>(?<!-)\d{3}-\d\d-\d\d(?!-))"
    r")(?!\d)"
)
_GROUP = re.compile(r"\d+")
_NO_PHONE = re.compile(r"\d\d0|\d99|(?:19|20)\d\d")
"""A group of digits out of a price (15 990) or a date."""
_USUAL_GROUPS = frozenset(
    {head + tail for head in ((1, 3), (4,)) for tail in ((7,), (3, 4), (4, 3), (3, 2, 2), (2, 2, 3))}
    | {(1,) * 11, (1, 2, 2, 2, 2, 2), (2, 2, 2, 2, 2, 1)}
)
"""How many digits stand together in 8 999 123-45-67 and the like."""


def redact(text: str) -> str:
    """The text with ``[телефон]`` for phone numbers and ``[почта]`` for e-mail addresses, the rest as it was.

    Digits of any script, blanks of any kind, zero-width characters and entities hide nothing. Redacting again changes
    nothing; time is linear in the length.
    """
    view = _View(text)
    mails = [match.span() for match in _MAIL.finditer(view.seen)] if "@" in view.seen else []
    if mails:
        view = _View(view.cut(mails, MAIL))
    return view.cut(_phones(view.seen), PHONE)


def _phones(seen: str) -> list[tuple[int, int]]:
    spans = []
    match = _PHONE.search(seen)
    while match:
        phone = _is_phone(match)
        if phone:
            spans.append(match.span())
        match = _PHONE.search(seen, match.end() if phone else match.start() + 1)
    return spans


def _is_phone(match: re.Match[str]) -> bool:
    """Whether the digits stand together as in a phone, not as in prices, dates, scores or counts."""
    groups: list[str] = _GROUP.findall(match[0])
    if match["abroad"]:
        return not "".join(groups).endswith("000000")
    if match["local"]:
        return any(group[-1] not in "05" for group in groups)
    sizes = tuple(map(len, groups))
    if not match["russian"] or match[0].startswith("+") or sizes in _USUAL_GROUPS:
        return True
    telling = [group for group in groups if len(group) >= 3]
    thousands = len(groups) > 1 and set(sizes[1:]) == {3}
    return bool(telling) and not thousands and not all(map(_NO_PHONE.fullmatch, telling))


class _View:
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

    def cut(self, spans: list[tuple[int, int]], mark: str) -> str:
        """The text with the mark in place of what is seen at the spans, given in order."""
        pieces, place = [], 0
        for start, end in spans:
            pieces += [self._text[place : self._at(start)[0]], mark]
            place = self._at(end - 1)[1]
        return "".join([*pieces, self._text[place:]])

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
