"""What a format is: the endings of its files, and a function that gives their rows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.reasons import COLUMNS, InvalidRecord, SourceError


class Row(NamedTuple):
    """A record as it lies in a file.

    ``offset`` tells it from the file's others. ``raw``: its bytes (of one that is too large the first, and ``sha256``
    of them all). ``values``: what the source says of our columns, or why that can't be read. ``layout``: what the file
    says of all its records and ``raw`` does not, so that this one can be read again by itself.
    """

    offset: int
    raw: bytes
    values: Mapping[str, object] | InvalidRecord
    sha256: str | None = None
    layout: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How a file is to be read: its ``name``, what the source calls our columns, and where notes go.

    ``given``: what the names of its folders say, by our names. ``first``: the offset of its first record.
    """

    name: str
    mapping: Mapping[str, str]
    notes: Notes
    given: Mapping[str, str] = field(default_factory=dict)
    first: int = 0

    @property
    def looked_for(self) -> list[str]:
        """What the source calls our columns, whether it has them or not."""
        return sorted({self.mapping.get(ours, ours) for ours in COLUMNS})

    def columns(self, names: list[str]) -> dict[str, str]:
        """Our columns that a file with columns ``names`` has, with their names there. Raises SourceError."""
        chosen = {ours: self.mapping.get(ours, ours) for ours in COLUMNS}
        needed = {"review_id", "created_at", *self.mapping} - set(self.given)
        for ours, theirs in chosen.items():
            if names.count(theirs) > 1:
                raise SourceError(f"{self.name}: {names.count(theirs)} columns are named {theirs!r}; there must be one")
            if theirs not in names and ours in needed:
                # the names found are not told: where the header is missing they are somebody's review
                what = f"none of its {len(names)} columns is named {theirs!r}"
                raise SourceError(
                    f"{self.name}: {what}; the header must name {ours}, or the mapping say what it is called"
                )
            near = None if theirs in names or ours in self.given else _near(theirs, {*names} - {*chosen.values()})
            if near is not None:
                self.notes.add(f"no column is named {theirs!r}, and {near!r} is not read; is it meant?", self.name)
        if not {chosen["text"], chosen["attachments"]} & {*names} and not {"text", "attachments"} & {*self.given}:
            raise SourceError(
                f"{self.name}: it has neither text nor attachments; the mapping can say what they are called"
            )
        return {ours: theirs for ours, theirs in chosen.items() if theirs in names}


def _near(wanted: str, unread: Collection[str]) -> str | None:
    """The one of a file's other columns that is ``wanted`` but for a slip or upper case. Names that are not near to one
    of ours are not told: without a header they are somebody's review.
    """
    by_lower = {name.lower(): name for name in sorted(unread)}
    close = difflib.get_close_matches(wanted.lower(), by_lower, 1, 0.8)
    return by_lower[close[0]] if close else None


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. ``rows`` streams: its memory is bounded by a record (Parquet: by a page). It raises SourceError
    for a file that is not what its name says.

    ``numbered``: offsets are the numbers of records from 0, else bytes. ``text``: the stream is UTF-8 from the first
    record on, whatever the file was written in, and files may be packed. ``seeks``: the stream can go back; else it is
    read once from front to back.
    """

    name: str
    endings: tuple[str, ...]
    rows: Callable[[BinaryIO, Asked], Iterator[Row]]
    numbered: bool = True
    text: bool = True
    seeks: bool = False
