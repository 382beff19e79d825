"""Numbers of bank cards and of a person's papers, each held to its check digits where it has any."""

from __future__ import annotations

import re
from collections.abc import Iterator

from otzyv.tasks.text.redaction.context import OF_ITS_OWN, before, joined, tells_other

_EDGE = r"(?<![\w.,/=#@+-])"
_END = r"(?![\w@]|[.,]\d|-\d)"
_CARD = re.compile(
    rf"{_EDGE}(?:\d{{4}}(?P<by>[ -]?)\d{{4}}(?P=by)\d{{4}}(?P=by)\d{{1,7}}|3[47]\d\d([ -]?)\d{{6}}\2\d{{5}}){_END}"
)
_CARD_BEGINS = re.compile(r"4|5[1-5]|2(?:2(?:0[0-5]|2[1-9]|[3-9])|[3-6]|7[01]|720)|3[47]|6|9")
"""Mir, Visa, Mastercard, American Express, Maestro, UnionPay; 9: national schemes."""
_CARD_NAMED = r"\bкарт(?:[аеуы]|ой|ою|ам|ами|ах)?\b|\bкарточк|\bcards?\b"
_CARD_TOLD = re.compile(rf"{_CARD_NAMED}|сбер|тиньк|т-банк|альфа|втб|перев[оё]д|скинь|донат", re.IGNORECASE)
_CARD_CALLED = re.compile(_CARD_NAMED, re.IGNORECASE)
_NUMBER_SIGN = re.compile(r"№|номер|number", re.IGNORECASE)
_LONG = re.compile(rf"{_EDGE}(?=\d{{4}})\d++(?:(?:[ .-]| - )\d++)*+{_END}")
"""Digits in groups, all of them, that begin with at least four together as a card's do."""
_YEARS = re.compile(r"(?:19|20)\d\d(?:\D{1,3}(?:19|20)\d\d)*")

_SNILS = re.compile(rf"{_EDGE}(?:\d{{3}}[ -]\d{{3}}[ -]\d{{3}}[ -]\d\d|\d{{11}}){_END}")
_SNILS_TOLD = re.compile(r"снилс|\bsnils|страховой номер|пенсионн", re.IGNORECASE)

_INN = re.compile(rf"{_EDGE}(?:\d{{12}}|\d{{4}} \d{{6}} \d\d|\d{{4}} \d{{4}} \d{{4}}|\d{{10}}){_END}")
_INN_TOLD = re.compile(r"\bинн\b|\binn\b|налогоплательщик", re.IGNORECASE)

_PASSPORT = re.compile(
    r"(?P<told>паспорт|\bpassport|сери[яиюе])(?:[^\d\[\]\n]{0,40}?)(?<![\d.,/=#+-])"
    r"(?P<number>\d\d\s?\d\d[\s,;-]{0,3}(?:№|n[o°]?\.?|номер|и номер)?[\s:]{0,2}\d{3}\s?\d{3}"
    r"|\d\d[\s,]{0,2}(?:№|n[o°]?\.?|номер)?[\s:]?\d{7})"
    rf"{_END}",
    re.IGNORECASE,
)
_DEPARTMENT = re.compile(r" \d{3}-\d{3}(?![\d-])")
"""Who issued a passport: it stands behind its number."""
_OTHER_PAPER = re.compile(
    r"полис|диплом|аттестат|сертификат|удостоверени|лицензи|накладн|билет|свидетельств|чек|осаго|птс", re.IGNORECASE
)


def cards(seen: str) -> Iterator[tuple[int, int]]:
    """13 to 19 digits behind the word карта; else with a bank's beginning and Luhn's check digit (ISO/IEC 7812)."""
    place = 0
    for start, end in sorted({*_called(seen), *_checked(seen)}, key=lambda span: (span[0], -span[1])):
        if start >= place:
            place = end
            yield start, end


def _called(seen: str) -> Iterator[tuple[int, int]]:
    """What a text calls a card: a digit of it may be mistyped."""
    for match in _LONG.finditer(seen):
        if 13 <= len(re.sub(r"\D", "", match[0])) <= 19 and not _YEARS.fullmatch(match[0]):
            words = before(seen, match.start())
            called = list(_CARD_CALLED.finditer(words))
            if called and not tells_other(_NUMBER_SIGN.sub("", words[called[-1].end() :])):
                yield match.span()


def _checked(seen: str) -> Iterator[tuple[int, int]]:
    place = 0
    for match in _CARD.finditer(seen):
        digits = re.sub(r"\D", "", match[0])
        if not _CARD_BEGINS.match(digits) or not luhn(digits):
            continue
        # Four groups out of more are no card, but for those of a card before or behind it.
        if match.start() - 1 != place and not _whole(match, seen) and not _CARD.match(seen, match.end() + 1):
            continue
        words = before(seen, match.start())
        if _CARD_TOLD.search(words) or len(digits) < len(match[0]) or not tells_other(words):
            place = match.end()
            yield match.span()


def passports(seen: str) -> Iterator[tuple[int, int]]:
    """Series and number behind the word паспорт or серия: 45 10 123456, abroad 71 1234567. They have no check digit."""
    for match in _PASSPORT.finditer(seen):
        if joined(seen, *match.span("number")) and not _DEPARTMENT.match(seen, match.end("number")):
            continue
        words = before(seen, match.start("number"))
        named = match["told"].lower().startswith("п") or match["told"].lower().startswith("p")
        if named or not _OTHER_PAPER.search(words + before(seen, match.start())):
            yield match.span("number")


def snils(seen: str) -> Iterator[tuple[int, int]]:
    """112-233-445 95 with its check digits, or eleven digits behind the word СНИЛС."""
    place = 0
    for match in _SNILS.finditer(seen):
        digits = re.sub(r"\D", "", match[0])
        told = bool(_SNILS_TOLD.search(before(seen, match.start())))
        listed = match.start() - 1 == place or bool(_SNILS.match(seen, match.end() + 1))
        alone = listed or _whole(match, seen)
        if snils_holds(digits) and alone and (told or (len(digits) < len(match[0]) and "-" in match[0])):
            place = match.end()
            yield match.span()


def inns(seen: str) -> Iterator[tuple[int, int]]:
    """Twelve digits with both check digits; behind the word ИНН ten as well, an organisation's."""
    for match in _INN.finditer(seen):
        digits = re.sub(r"\D", "", match[0])
        words = before(seen, match.start())
        told = bool(_INN_TOLD.search(words))
        if inn_holds(digits) and (told or (len(match[0]) == 12 and not tells_other(words))) and _whole(match, seen):
            yield match.span()


def _whole(match: re.Match[str], seen: str) -> bool:
    """Whether no digits beside a number make it a part of a longer one."""
    return all(
        len(group) >= OF_ITS_OWN or (match[0].isdecimal() and joint == " " and len(group) < 4)
        for joint, group in joined(seen, *match.span())
    )


def luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(two - 9 if two > 9 else two for two in doubled)) % 10 == 0


def snils_holds(digits: str) -> bool:
    """Whether the last two of eleven digits check the others (order of the Pension Fund of 2006, No. 192p)."""
    total = sum(int(digit) * weight for digit, weight in zip(digits[:9], range(9, 0, -1), strict=True))
    return digits[:9] > "001001998" and total % 101 % 100 == int(digits[9:])


def inn_holds(digits: str) -> bool:
    """Whether the last digit of ten, or the last two of twelve, check the others (order of the tax service, 2012)."""
    weights = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
    checks = (10,) if len(digits) == 10 else (11, 12)
    return digits.strip("0") != "" and all(
        sum(int(digit) * weight for digit, weight in zip(digits[: count - 1], weights[-(count - 1) :], strict=True))
        % 11
        % 10
        == int(digits[count - 1])
        for count in checks
    )
