"""People and reviews that asked to be forgotten: their records are not brought in again."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from tasks.lake.storage import Storage

FOLDER = "suppressed"
"""An empty file for each entry, ``review-<hash>`` or ``author-<hash>``: two that are noted at once are both kept."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    entries: frozenset[str]

    def covers(self, review_hash: str, author_hash: str | None) -> bool:
        return f"review-{review_hash}" in self.entries or f"author-{author_hash}" in self.entries


def keyed(key: str, text: str) -> str:
    """HMAC-SHA256 of an author or a review's id under the lake's key: 64 hex digits."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def suppressed(storage: Storage) -> Suppressed:
    return Suppressed(frozenset(path.removeprefix(f"{FOLDER}/") for path in storage.files(FOLDER)))


def suppress(storage: Storage, kind: Literal["review", "author"], hashed: str) -> bool:
    """Note whose records are not to come in again; False if they were noted before."""
    return storage.write_new(f"{FOLDER}/{kind}-{hashed}", b"")
