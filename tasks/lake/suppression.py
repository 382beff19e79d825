"""People and reviews that asked to be forgotten: their records are not brought in again."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.lake.storage import Storage

FILE = "suppressed.txt"
"""One keyed hash a line, ``review:<hash>`` or ``author:<hash>``."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    entries: frozenset[str]

    def covers(self, review_hash: str, author_hash: str | None) -> bool:
        return f"review:{review_hash}" in self.entries or f"author:{author_hash}" in self.entries


def suppressed(storage: Storage) -> Suppressed:
    if not storage.exists(FILE):
        return Suppressed(frozenset())
    return Suppressed(frozenset(storage.read(FILE).decode().split()))
