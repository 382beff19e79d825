"""Latin and Cyrillic letters: words that mix them, and the language that a text's letters speak for."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Language = Literal["ru", "en", "mixed", "other"]

_LATIN = "A-Za-zÀ-ÖØ-öø-ʯḀ-ỿ"
_CYRILLIC = "Ѐ-ҁҊ-ԯ"
_MARKS = "\u0300-\u036f"

_COMPOSED = ("áа́", "éе́", "óо́", "ýу́", "ÁА́", "ÉЕ́", "ÓО́", "ÝУ́", "àа̀", "èѐ", "òо̀", "ÀА̀", "ÈЀ", "ÒО̀", "ëё", "ËЁ")
"""Latin letters with the dots of ё, or with acute or grave as stress, each before its Cyrillic double."""
_LOOKALIKES = {
    **dict(zip("aceopxykABCEHKMOPTXY", "асеорхукАВСЕНКМОРТХУ", strict=True)),
    **{pair[0]: pair[1:] for pair in _COMPOSED},
}
_POSING = str.maketrans(_LOOKALIKES)
_MIXED = re.compile(f"[{_LATIN}][{_MARKS}]*[{_CYRILLIC}]|[{_CYRILLIC}][{_MARKS}]*[{_LATIN}]")
_MEETING = re.compile(f"(?<=[{_LATIN}])(?=[{_CYRILLIC}])|(?<=[{_CYRILLIC}])(?=[{_LATIN}])")
_WORD = re.compile(f"[{_LATIN}{_CYRILLIC}{_MARKS}]+")
_LATIN_LETTERS = re.compile(f"[{_LATIN}]+")
_CYRILLIC_LETTERS = re.compile(f"[{_CYRILLIC}]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_ABBREVIATION = re.compile("[A-Z]{2,}[а-яё]+")

_RUSSIAN = 0.6
"""Share of Cyrillic letters from which a text is ru: Russian reviews are full of Latin names of tools."""
_ENGLISH = 0.9
"""Share of Latin letters from which a text is en: English ones hold hardly a Cyrillic letter."""


def lookalikes(text: str) -> str:
    """Latin letters that pose as Cyrillic inside a Cyrillic word: курc, its c Latin, becomes курс.

    A word stays as it is when any of its Latin letters looks like no Cyrillic one (pythonом), or when it is a Latin
    abbreviation with a Russian ending (PHPшник). The letters of Python, C++ or the IT of IT-курс stand in no Cyrillic
    word.
    """
    if not _MIXED.search(text):
        return text
    return unicodedata.normalize("NFC", _WORD.sub(_unmask, text))


def _unmask(match: re.Match[str]) -> str:
    word = match[0]
    if not _CYRILLIC_LETTERS.search(word) or _ABBREVIATION.fullmatch(word):
        return word
    cyrillic = word.translate(_POSING)
    return word if _LATIN_LETTERS.search(cyrillic) else cyrillic


def part_scripts(text: str) -> str:
    """A word is parted where its scripts meet: PHPшник gives the words that PHP-шник gives."""
    return _MEETING.sub(" ", text)


def language(text: str) -> Language:
    """ru, en, mixed or other, by script alone: Ukrainian counts as ru and German as en, by their letters."""
    letters = _count(_LETTERS, text)
    cyrillic, latin = _count(_CYRILLIC_LETTERS, text), _count(_LATIN_LETTERS, text)
    if not letters or cyrillic + latin < letters / 2:
        return "other"
    if cyrillic >= _RUSSIAN * letters:
        return "ru"
    return "en" if latin >= _ENGLISH * letters else "mixed"


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))
