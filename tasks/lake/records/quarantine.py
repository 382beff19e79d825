"""Refused records, each once, with their bytes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import QUARANTINE
from otzyv.tasks.lake.delta.publish import FileWriter, commit, commit_rows
from otzyv.tasks.lake.delta.snapshot import Snapshot, open_snapshot, read_batches
from otzyv.tasks.lake.delta.storage import Storage

SCAN = 1 << 16
WHOLE_AT_ONCE = 64
"""Rows that are held at a time with their bytes, of which each may have a megabyte."""
Key = tuple[object, ...]
"""What a refused record is known by: the values of the table's keys."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which refused records: all that fit what is given.

    ``source``: a file, a folder, a source's name or, of rows that failed a check, a table; ``reason``: words of it.
    """

    rule: str | None = None
    source: str | None = None
    day: date | None = None
    reason: str | None = None

    def fits(self, row: dict[str, object]) -> bool:
        source, reason = str(row["source"]), str(row["reason"])
        return (
            self.rule in (None, row["rule"])
            and (self.source is None or source == self.source or source.startswith(f"{self.source.rstrip('/')}/"))
            and self.day in (None, row["day"])
            and (self.reason is None or self.reason.casefold() in reason.casefold())
        )


def quarantine(storage: Storage, rows: pa.Table) -> int:
    """Add the rows of one day of arrival that are not there yet; returns how many were added."""
    while rows.num_rows:
        snapshot = open_snapshot(storage, QUARANTINE)
        known = _known(storage, snapshot, rows["raw_sha256"].combine_chunks())
        fresh: dict[Key, int] = {}
        for number, key in enumerate(_keys(rows)):
            if key not in known:
                fresh.setdefault(key, number)
        new = rows.take(pa.array(fresh.values(), pa.int64()))
        if not fresh or commit_rows(storage, snapshot, new, new["day"][0].as_py()):
            return len(fresh)
    return 0


def refused(storage: Storage, wanted: Wanted, columns: Sequence[str] | None = None) -> Iterator[dict[str, object]]:
    """The rows that are wanted, those that came last first, as they are read: a day of them need not fit in memory.

    ``columns``: of all rows.
    """
    snapshot = open_snapshot(storage, QUARANTINE)
    names = list(dict.fromkeys([*(columns or QUARANTINE.names), "rule", "source", "offset", "day", "reason"]))
    for day in sorted(snapshot.days, reverse=True):
        if wanted.day in (None, day):
            at_once = WHOLE_AT_ONCE if "raw" in names else SCAN
            for batch in read_batches(storage, QUARANTINE, snapshot.of(day), names, rows=at_once):
                yield from (row for row in batch.to_pylist() if wanted.fits(row))


def first(storage: Storage, wanted: Wanted, limit: int) -> tuple[list[dict[str, object]], int]:
    """So many of the wanted rows, those that came last first, in the order of their places; and how many there are."""
    counted = itertools.count()
    rows = (row for row, _ in zip(refused(storage, wanted, QUARANTINE.keys), counted, strict=False))
    places = [(_place(row), key_of(row)) for row in heapq.nsmallest(limit, rows, key=_place)]
    left = {key for _, key in places}
    found = (row for row in refused(storage, wanted) if key_of(row) in left) if left else ()
    shown = sorted(itertools.islice(found, len(places)), key=_place)
    return shown, next(counted)


def _place(row: Mapping[str, Any]) -> tuple[int, str, int]:
    return -row["day"].toordinal(), row["source"], row["offset"]


def remove(storage: Storage, keys: Collection[Key]) -> int:
    """Remove the rows with these keys; returns how many there were."""
    gone = set(keys)
    while gone:
        snapshot = open_snapshot(storage, QUARANTINE)
        staged, days, count = [], [], 0
        for day in snapshot.days:
            files = snapshot.of(day)
            known = (key for batch in read_batches(storage, QUARANTINE, files, QUARANTINE.keys) for key in _keys(batch))
            leaving = sum(key in gone for key in known)
            if not leaving:
                continue
            count += leaving
            days.append(day)
            with FileWriter(storage, QUARANTINE, day) as writer:
                for batch in read_batches(storage, QUARANTINE, files, rows=WHOLE_AT_ONCE):
                    writer.write(batch.filter(pa.array([key not in gone for key in _keys(batch)], pa.bool_())))
                file = writer.close()
            if file:
                staged.append(file)
        if not days or commit(storage, snapshot, days, staged, allow_empty=True) == "published":
            return count
    return 0


def key_of(row: dict[str, object]) -> Key:
    return tuple(row[name] for name in QUARANTINE.keys)


def _known(storage: Storage, snapshot: Snapshot, raw: pa.Array) -> set[Key]:
    """The keys that are there, of records with these sha256: the others never become Python objects."""
    known: set[Key] = set()
    for batch in read_batches(storage, QUARANTINE, snapshot.files, QUARANTINE.keys, rows=SCAN):
        known.update(_keys(batch.filter(pc.is_in(batch["raw_sha256"], value_set=raw))))
    return known


def _keys(rows: pa.Table | pa.RecordBatch) -> Iterator[Key]:
    return zip(*(rows[key].to_pylist() for key in QUARANTINE.keys), strict=True)
