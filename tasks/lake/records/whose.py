"""Whose a refused record is, as far as it tells: whatever its format, its encoding, and what is wrong with it."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

ENCODINGS = ("utf-8", "cp1251", "utf-16-le", "utf-16-be", "koi8-r", "cp866", "mac-cyrillic", "iso8859-5")
"""What a record that is no UTF-8 may be written in, of those that exports of Russian sites are."""
DELIMITERS = (",", ";", "\t", "|")
DISTINCT = 6
"""So many characters of an id are not some number or word of another record by chance."""

_ID = re.compile(r"""(?<!\w)["']?(?:review[ _-]?id|id)["']?\s*[:=]\s*["']?([^"',;}\s]+)""", re.IGNORECASE)
_QUOTED, _WORD = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL), re.compile(r"[\w-]+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def as_shown(name: str) -> str:
    """A name as its reader sees it: й and и with a breve are one letter (NFC), blanks around it are none."""
    return unicodedata.normalize("NFC", name).strip()


def caseless(name: str) -> str:
    """What all ways to write a name have in common: as it is shown, in lower case, with single blanks in it."""
    return " ".join(unicodedata.normalize("NFC", as_shown(name).casefold()).split())


class _Object(list[tuple[str, Any]]):
    """A JSON object as the pairs that it names, the same key any number of times."""


class Refused:
    """A refused record: its bytes and, where its reader could tell it, its review's id."""

    def __init__(self, raw: bytes, review_id: str | None = None) -> None:
        self._raw = raw
        self._review_id = review_id

    def of_review(self, wanted: Collection[str]) -> bool:
        """Whether its review is one of these."""
        return not self.possible_ids.isdisjoint(wanted)

    def of_author(self, wanted: Collection[str]) -> bool:
        """Whether one of these authors (``caseless``) is a value in it; a longer value that holds a name is another."""
        if not wanted or not (self._parsed or self._may_name(wanted)):
            return False
        return any(caseless(value) in wanted for value in self.values)

    def _may_name(self, wanted: Collection[str]) -> bool:
        """Soon told of most records: whether the letters of one of these stand in it, whatever is between them."""
        bare = [re.sub(r"\W+", "", caseless(text)) for text in self._texts]
        return any(re.sub(r"\W+", "", name) in text for name in wanted for text in bare)

    @cached_property
    def ids(self) -> frozenset[str]:
        """The id, or what its columns of ids hold; empty where that can't be told."""
        if self._review_id is not None:
            return frozenset({self._review_id})
        for parsed in self._parsed:
            if not isinstance(parsed, list):
                break
            if isinstance(parsed, _Object):
                named = (value for name, value in parsed if re.sub(r"\W|_", "", name).lower() in ("reviewid", "id"))
                return frozenset(str(value) for value in named if isinstance(value, str | int | float))
            if len(parsed) > 3 and _DAY.fullmatch(str(parsed[1])):  # of a row that failed its check: table, day, key
                return frozenset({str(parsed[2])})
        return frozenset()

    @cached_property
    def possible_ids(self) -> frozenset[str]:
        """The ids; where they can't be told, what may be one."""
        return self.ids or self._guessed

    @cached_property
    def values(self) -> frozenset[str]:
        """Its values and names; of what can't be parsed: what stands in quotes, and cells of CSV."""
        if self._parsed:
            return frozenset(leaves(self._parsed[0]))
        return frozenset(value for text in self._texts for value in _pieces(text))

    @cached_property
    def _parsed(self) -> list[Any]:
        """What its JSON holds, alone in a list; nothing where it is none."""
        with suppress(ValueError, RecursionError):
            return [json.loads(self._raw, object_pairs_hook=_Object)]
        return []

    @cached_property
    def _texts(self) -> list[str]:
        wide = b"\0" in self._raw
        encodings = [name for name in ENCODINGS if wide or not name.startswith("utf-16")]
        with suppress(UnicodeDecodeError):
            self._raw.decode()
            encodings = encodings if wide else ["utf-8"]
        read = (self._raw.decode(encoding, "replace") for encoding in encodings)
        return [as_shown(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)) for text in read]

    @property
    def _guessed(self) -> frozenset[str]:
        """If neither its reader nor JSON tells the id: what is named so, first cells, and words that are distinct."""
        if self._review_id is not None or self._parsed:
            return frozenset()
        found = set[str]()
        for text in self._texts:
            found.update(match[1] for match in _ID.finditer(text))
            found.update(row[0].strip() for delimiter in DELIMITERS for row in _rows(text, delimiter) if row)
            found.update(word for word in _WORD.findall(text) if len(word) >= DISTINCT)
        return frozenset(found)


def leaves(parsed: Any) -> Iterator[str]:
    """Every value and name in parsed JSON whose objects are lists of pairs."""
    if isinstance(parsed, list | tuple):
        for each in parsed:
            yield from leaves(each)
    else:
        yield str(parsed)


def has_words(text: str, wanted: Collection[str]) -> bool:
    """Whether one of these, given as ``caseless``, stands in a text by itself."""
    text = caseless(text)
    return any(re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text) for words in wanted if words in text)


def has_id(text: str, wanted: Collection[str]) -> bool:
    """Whether one of these ids stands in a text by itself: a short number, which may be any number, in quotes."""
    for review_id in wanted:
        if review_id not in text:
            continue
        quoted = len(review_id) < DISTINCT and review_id.isdecimal()
        form = r"['\"]{}['\"]" if quoted else r"(?<![\w-]){}(?![\w-])"
        if re.search(form.format(re.escape(review_id)), text):
            return True
    return False


def _pieces(text: str) -> Iterator[str]:
    yield text.rpartition('"')[2]  # of a value that is cut off, no quote closes it
    for quoted in _QUOTED.findall(text):
        yield quoted
        with suppress(ValueError):
            yield str(json.loads(f'"{quoted}"'))
    for delimiter in DELIMITERS:
        for row in _rows(text, delimiter):
            yield from row


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from csv.reader(text.splitlines(), delimiter=delimiter)
