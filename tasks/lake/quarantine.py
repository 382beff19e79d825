"""Refused records, each once, with their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import QUARANTINE
from tasks.lake.publish import commit, commit_rows, write_file
from tasks.lake.snapshot import Snapshot, open_snapshot, read_batches, read_table
from tasks.lake.storage import Storage

SCAN = 1 << 16
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
    """The rows that are wanted, those that came last first, in the order of their places. ``columns``: of all rows."""
    snapshot = open_snapshot(storage, QUARANTINE)
    names = list(dict.fromkeys([*(columns or QUARANTINE.names), "rule", "source", "offset", "day", "reason"]))
    for day in sorted(snapshot.days, reverse=True):
        if wanted.day not in (None, day):
            continue
        found = []
        for batch in read_batches(storage, QUARANTINE, snapshot.of(day), names, rows=SCAN):
            found += [row for row in batch.to_pylist() if wanted.fits(row)]
        yield from sorted(found, key=lambda row: (row["source"], row["offset"]))


def take_out(storage: Storage, keys: Collection[Key]) -> int:
    """Remove the rows with these keys; returns how many there were."""
    gone = set(keys)
    while gone:
        snapshot = open_snapshot(storage, QUARANTINE)
        staged, days, count = [], [], 0
        for day in snapshot.days:
            rows = read_table(storage, QUARANTINE, snapshot.of(day))
            stays = pa.array([key not in gone for key in _keys(rows)], pa.bool_())
            kept = rows.filter(stays)
            if kept.num_rows == rows.num_rows:
                continue
            count += rows.num_rows - kept.num_rows
            days.append(day)
            if file := write_file(storage, QUARANTINE, day, kept):
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
