"""Phone numbers: by their shape, by what phonenumbers knows of the world's numbers, and by the words before them.

Where a number could be either, it counts as a phone: a mark too many does less harm than a person's number in the lake.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Iterator

from otzyv.tasks.text.links import link_spans
from otzyv.tasks.text.redaction.context import OF_ITS_OWN, before, joined, tells_other, tells_phone

_S = r"[\s.()/_-]{0,8}"
_PHONE = re.compile(
    r"(?:(?=[+(])|(?<!\d)(?=\d))(?:"
    rf"(?P<russian>(?:\+\s?\(?)?[78]{_S}[34789](?:{_S}\d){{9}})"
    rf"|(?P<abroad>\+\(?\d(?:{_S}\d){{9,14}}|00{_S}[1-9](?:{_S}\d){{9,12}})"
    r"|(?P<dashed>8(?:-\d{2,4}){3,4}(?!-))"
    r"|(?:375|380|99[24568])(?:[\s.()/_-]{0,8}\d){9}"
    r"|\([3489]\d\d\)(?:[\s.()/_-]{0,8}\d){7}|\([3489]\d{3}\)(?:[\s.()/_-]{0,8}\d){6}|\([3489]\d{4}\)(?:[\s.()/_-]{0,8}\d){5}"
    r"|(?P<ten>[3489]\d\d-\d{3}-\d\d-?\d\d|[3489]\d\d[ .]\d{3}[ .-]\d\d[ .-]?\d\d|[3489]\d{9})"
    r"|(?P<local>(?<!-)\d{3}-\d\d-\d\d(?!-))"
    r"|(?P<short>(?<!-)(?:\d{2,3}-\d\d-\d\d"
    r"|\d-\d\d-\d\d|\d{3}[ -]\d{4}|\d{3} \d\d \d\d|\d\d \d\d \d\d|\d{3}-\d{3}|\d{6,7})(?!-))"
    r")(?![\d])"
)
_EXTENSION = re.compile(
    r"[\s,;(]{0,3}(?:доб|вн|внутр|ext)(?:авочный|енний)?[.:]?\s?№?\s?\d{1,5}(?!\d)\)?", re.IGNORECASE
)
_GROUP = re.compile(r"\d+")
_RUN = re.compile(r"(?:\d+[ -])*+\d++")
_FEW = re.compile(r"\d{1,2}(?!\d)")
_NO_PHONE = re.compile(r"\d\d0|\d99|(?:19|20)\d\d")
"""A group of digits out of a price (15 990) or a date."""
_USUAL_GROUPS = frozenset(
    {head + tail for head in ((1, 3), (4,)) for tail in ((7,), (3, 4), (4, 3), (3, 2, 2), (2, 2, 3))}
    | {(1,) * 11, (1, 2, 2, 2, 2, 2), (2, 2, 2, 2, 2, 1)}
)
"""How many digits stand together in 8 999 123-45-67 and the like."""
_PART_BEFORE = re.compile(r"(?:[A-Za-z_=#$€£%&*<>/\\№]|(?<!\d)\d{1,4}[.,:])\Z")
_PART_AFTER = re.compile(
    r"[A-Za-z_@$€£%]|[.,:]\d{1,4}(?!\d)|\s?(?:₽|€|руб|р\.|коп|тыс|млн|млрд|шт|кг|км|мб|гб|байт|usd|eur|rub)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"(?:[=<>*]\s|\breturn\s|[A-Za-z_][(\[])\Z")
"""Code before a number: x = 9123456789, print(9123456789)."""
_RUNS = re.compile(r"(\d)\1{6}|9876543")
_LINKED = re.compile(r"(?:wa\.me/|phone=|tel:|number=|callto:)(?:\+|%2b)?\Z", re.IGNORECASE)


def phones(seen: str) -> Iterator[tuple[int, int]]:
    """+7 (999) 123-45-67, 8-33-3821-05, 4956221568, тел. 12-34-56, with an extension behind them."""
    links = list(link_spans(seen)) if "/" in seen else []
    runs = _Runs(seen)
    match = _PHONE.search(seen)
    while match:
        place = match.start() + 1
        if _is_phone(match, seen, links) and _is_whole(match, seen, runs):
            extension = _EXTENSION.match(seen, match.end())
            place = extension.end() if extension else match.end()
            yield match.start(), place
        match = _PHONE.search(seen, place)


def _is_phone(match: re.Match[str], seen: str, links: list[tuple[int, int]]) -> bool:
    """Whether the digits stand together as in a phone, and neither their neighbours nor the words before say else."""
    start, end = match.span()
    linked = _LINKED.search(seen[max(0, start - 12) : start])
    if not linked:
        near = bisect_right(links, (start, end)) - 1
        if near >= 0 and links[near][1] > start:
            return False
        if _PART_BEFORE.search(seen[max(0, start - 6) : start]) or _PART_AFTER.match(seen, end):
            return False
    words = before(seen, start)
    groups: list[str] = _GROUP.findall(match[0])
    sizes = tuple(map(len, groups))
    digits = "".join(groups)
    if match["abroad"]:
        return _possible(digits.removeprefix("00"))
    if match["short"]:
        return tells_phone(words)
    if match["local"]:
        return any(group[-1] not in "05" for group in groups) and not tells_other(words)
    if match["dashed"]:
        return 9 <= len(digits) <= 11 and not tells_other(words)
    if match["ten"]:
        if len(groups) == 1 and (_ASSIGNED.search(seen[max(0, start - 8) : start]) or _RUNS.search(digits)):
            return False
        return not tells_other(words) and (tells_phone(words) or _russian(digits))
    if not match["russian"] or match[0].startswith("+"):
        return True
    if sizes in _USUAL_GROUPS:
        return "." not in match[0] or not tells_other(words)
    if len(groups) == 1:
        return bool(linked) or not tells_other(words)
    telling = [group for group in groups if len(group) >= 3]
    thousands = len(groups) > 1 and set(sizes[1:]) == {3}
    return bool(telling) and not thousands and not all(map(_NO_PHONE.fullmatch, telling))


def _is_whole(match: re.Match[str], seen: str, runs: _Runs) -> bool:
    """Whether the digits beside a phone, if there are any, are not of one longer number with it."""
    near = [(joint, group) for joint, group in joined(seen, *match.span()) if len(group) < OF_ITS_OWN]
    if not near:
        return True
    if any(joint == "-" for joint, _ in near) or match[0].startswith("00"):
        return False
    groups = _GROUP.findall(match[0])
    if match[0][0] in "+(" or "-" in match[0] or "(" in match[0]:
        return True
    # 8 999 123 45 67 is written like nothing else; 8999 1234 567 may be the end of a card's number or an account's.
    if match["russian"] and (len(groups) == 1 or (len(groups[0]) == 1 and tuple(map(len, groups)) in _USUAL_GROUPS)):
        return True
    if len(groups) == 1 and all(len(group) < 3 for _, group in near):
        return True
    return runs.are_phones(match.start())


class _Runs:
    """The runs of groups of digits in a text: each is one number, or phones side by side."""

    def __init__(self, seen: str) -> None:
        self._seen = seen
        self._known = (0, 0, False)

    def are_phones(self, place: int) -> bool:
        """Whether the run at a place is phones from end to end, but for one or two digits at its begin: an hour."""
        start, end, _ = self._known
        if not start <= place < end:
            self._known = self._read(place)
        return self._known[2]

    def _read(self, place: int) -> tuple[int, int, bool]:
        seen, start = self._seen, place
        while start and (
            seen[start - 1].isdecimal() or (seen[start - 1] in " -" and seen[start - 2 : start - 1].isdecimal())
        ):
            start -= 1
        run = _RUN.match(seen, start)
        if run is None:
            return place, place + 1, False
        hour = _FEW.match(seen, start)
        at = hour.end() + 1 if hour else start
        while at < run.end():
            phone = _PHONE.match(seen, at)
            if phone is None or phone["short"] or phone[0].startswith("00") or phone.end() > run.end():
                return start, run.end(), False
            at = phone.end() + 1
        return start, run.end(), True


@functools.lru_cache(maxsize=1 << 12)
def _possible(digits: str) -> bool:
    """Whether a country has numbers of this length."""
    import phonenumbers

    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}")))
    except phonenumbers.NumberParseException:
        return False


@functools.lru_cache(maxsize=1 << 12)
def _russian(digits: str) -> bool:
    """Whether a number of ten digits is one that Russia gives out."""
    import phonenumbers

    return bool(phonenumbers.is_valid_number(phonenumbers.parse(digits, "RU")))
