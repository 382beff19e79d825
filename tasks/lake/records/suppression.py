"""People and reviews that asked to be forgotten: their records are not brought in again."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.records.whose import Refused, as_shown, caseless

Kind = Literal["review", "author", "name"]
"""A review by its id; an author by the hash that ``reviews`` keeps; an author by a hash of the name in any case."""

FOLDER = "suppressed"
"""An empty file for each entry, its kind and its hash: two that are noted at once are both kept."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    entries: frozenset[str]

    def covers(self, key: str, review_id: str, author: str | None) -> bool:
        """Whether a record is of one of them. ``key``: the lake's own, under which they are noted."""
        return bool(self.entries) and (self._has_review(key, review_id) or self._has_author(key, author))

    def covers_refused(self, key: str, raw: bytes, review_id: str | None = None) -> bool:
        """Whether a refused record, as far as its bytes still tell, is of one of them."""
        if not self.entries:
            return False
        record = Refused(raw, review_id)
        return any(self._has_review(key, each) for each in record.possible_ids) or any(
            self._has_author(key, value) for value in record.values
        )

    def _has_review(self, key: str, review_id: str) -> bool:
        return _entry("review", keyed(key, review_id)) in self.entries

    def _has_author(self, key: str, author: str | None) -> bool:
        if author is None:
            return False
        hashes = (_entry("author", keyed_author(key, author)), _entry("name", keyed_name(key, author)))
        return not self.entries.isdisjoint(hashes)


def keyed(key: str, text: str) -> str:
    """HMAC-SHA256 of an author or a review's id under the lake's key: 64 hex digits."""
    # A refused record may hold half a surrogate pair, which is nobody's name.
    return hmac.new(key.encode(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def keyed_author(key: str, author: str) -> str:
    """``keyed`` of an author, the same for every way that the same name may be written."""
    return keyed(key, as_shown(author))


def keyed_name(key: str, author: str) -> str:
    """``keyed`` of an author, the same in upper and lower case as well."""
    return keyed(key, caseless(author))


def suppressed(storage: Storage) -> Suppressed:
    return Suppressed(frozenset(path.removeprefix(f"{FOLDER}/") for path in storage.files(FOLDER)))


def suppress(storage: Storage, kind: Kind, hashed: str) -> bool:
    """Note whose records are not to come in again; False if they were noted before."""
    return storage.write_new(f"{FOLDER}/{_entry(kind, hashed)}", b"")


def _entry(kind: Kind, hashed: str) -> str:
    return f"{kind}-{hashed}"
