"""People and reviews that asked to be forgotten: their records are not brought in again."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress as ignore
from dataclasses import dataclass
from typing import Any, Literal

from tasks.lake.storage import Storage

FOLDER = "suppressed"
"""An empty file for each entry, ``review-<hash>`` or ``author-<hash>``: two that are noted at once are both kept."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    entries: frozenset[str]

    def covers(self, review_hash: str, author_hash: str | None) -> bool:
        return f"review-{review_hash}" in self.entries or f"author-{author_hash}" in self.entries

    def named_in(self, raw: bytes, key: str) -> bool:
        """Whether a refused record, as far as its bytes still tell, is of one of them."""
        if not self.entries:
            return False
        return any(self.covers(keyed(key, value), keyed_author(key, value)) for value in set(_said(raw)))


def keyed(key: str, text: str) -> str:
    """HMAC-SHA256 of an author or a review's id under the lake's key: 64 hex digits."""
    # A refused record may hold half a surrogate pair, which is nobody's name.
    return hmac.new(key.encode(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def keyed_author(key: str, author: str) -> str:
    """``keyed`` of an author, the same for every way that the same name may be written."""
    return keyed(key, as_shown(author))


def as_shown(name: str) -> str:
    """A name as its reader sees it: й and и with a breve are one letter (NFC), blanks around it are none."""
    return unicodedata.normalize("NFC", name).strip()


def suppressed(storage: Storage) -> Suppressed:
    return Suppressed(frozenset(path.removeprefix(f"{FOLDER}/") for path in storage.files(FOLDER)))


def suppress(storage: Storage, kind: Literal["review", "author"], hashed: str) -> bool:
    """Note whose records are not to come in again; False if they were noted before."""
    return storage.write_new(f"{FOLDER}/{kind}-{hashed}", b"")


def leaves(parsed: Any) -> Iterator[str]:
    """Every value and name in parsed JSON whose objects are lists of pairs."""
    if isinstance(parsed, list | tuple):
        for each in parsed:
            yield from leaves(each)
    else:
        yield str(parsed)


_QUOTED, _WORD = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL), re.compile(r"[\w-]+")


def _said(raw: bytes) -> Iterator[str]:
    """The values of a record; where it can't be parsed, its words, what stands in quotes, and cells of CSV."""
    try:
        yield from leaves(json.loads(raw, object_pairs_hook=list))
        return
    except (ValueError, RecursionError):
        pass
    for encoding in ("utf-8", "cp1251"):
        text = as_shown(raw.decode(encoding, "replace"))
        yield from _WORD.findall(text)
        for quoted in _QUOTED.findall(text):
            with ignore(ValueError):
                yield str(json.loads(f'"{quoted}"'))
        with ignore(csv.Error):
            for row in csv.reader(text.splitlines()):
                yield from row
