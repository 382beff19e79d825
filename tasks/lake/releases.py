"""Releases: the one row that makes a day's tables visible together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table
from schemas.tables import RELEASES
from tasks.lake.publish import commit, commit_rows, write_file
from tasks.lake.snapshot import DataFile, Snapshot, open_snapshot, read_table
from tasks.lake.storage import Storage

MOST_FILES = 50
"""In how many files the rows of ``releases`` may lie."""


@dataclass(frozen=True, slots=True)
class ReleasedTable:
    """One table of a release: the files that hold the day."""

    table: str
    fingerprint: str | None
    run_key: str | None
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """One day as readers see it."""

    release_id: str
    day: date
    sequence: int
    verdict: str
    tables: tuple[ReleasedTable, ...]
    created_at: datetime

    def table(self, name: str) -> ReleasedTable:
        for table in self.tables:
            if table.table == name:
                return table
        names = ", ".join(sorted(table.table for table in self.tables))
        raise LookupError(f"the release of {self.day} has no table {name!r}; it has: {names}")


def latest(storage: Storage, days: Sequence[date] | None = None) -> dict[date, Release]:
    """The newest released (not held) release of each day; of all days where none are given."""
    return _latest(storage, open_snapshot(storage, RELEASES), days)


def _latest(storage: Storage, snapshot: Snapshot, days: Sequence[date] | None) -> dict[date, Release]:
    rows = read_table(storage, RELEASES, snapshot.files)
    if days is not None:
        rows = rows.filter(pc.is_in(rows["released_day"], pa.array(days, pa.date32())))
    found: dict[date, Release] = {}
    for row in rows.to_pylist():
        release = _release(row)
        known = found.get(release.day)
        if release.verdict == "released" and (known is None or known.sequence < release.sequence):
            found[release.day] = release
    return found


def released_files(storage: Storage, table: Table, day: date) -> Iterator[DataFile]:
    """The files of a table's day that any release has named and that are still there."""
    snapshot = open_snapshot(storage, RELEASES)
    rows = read_table(storage, RELEASES, snapshot.files, ["released_day", "tables"]).to_pylist()
    named = {
        path: known["fingerprint"]
        for row in rows
        if row["released_day"] == day
        for known in row["tables"]
        if known["table"] == table.name
        for path in known["files"]
    }
    for path, fingerprint in named.items():
        size = storage.size(path)
        if size is not None:
            yield DataFile(path, size, 0, day, fingerprint=fingerprint)


def release_day(
    storage: Storage,
    day: date,
    tables: Sequence[Table],
    *,
    held: str | None = None,
    carried: Callable[[ReleasedTable], bool] = lambda _: True,
) -> Release | None:
    """Release a day with its tables as they stand now; None if the newest release says the same already.

    Tables of the former release that are not named go on in the new one if they are ``carried``: made of what the day
    holds now. ``held``: why a person must look first.
    """
    while True:
        # Opened before the tables are read: a release made meanwhile refuses this one, and it is made anew.
        snapshot = open_snapshot(storage, RELEASES)
        rows = read_table(storage, RELEASES, snapshot.files)
        history = [row for row in rows.to_pylist() if row["released_day"] == day]
        former = max(history, key=lambda row: row["sequence"], default=None)
        stand = {table.name: standing(table, open_snapshot(storage, table).of(day)) for table in tables}
        before = {table.table: table for table in _release(former).tables} if former else {}
        others = [table for name, table in before.items() if name not in stand]
        verdict = "held" if held else "released"
        if former is None and not any(table.files for table in stand.values()):
            return None
        if former and {**before, **stand} == before and former["verdict"] == verdict:
            return None
        stand |= {table.table: table for table in others if carried(table)}
        tables_now = tuple(stand[name] for name in sorted(stand))
        sequence = former["sequence"] + 1 if former else 1
        release = Release(_id(day, tables_now, sequence), day, sequence, verdict, tables_now, datetime.now(UTC))
        if _append(storage, snapshot, rows, _row(release, held)):
            return release


def _append(storage: Storage, snapshot: Snapshot, rows: pa.Table, new: pa.Table) -> bool:
    """Add a row; in one file with all there are once these lie in many, so that reading them stays cheap."""
    if len(snapshot.files) < MOST_FILES:
        return commit_rows(storage, snapshot, new)
    file = write_file(storage, RELEASES, None, pa.concat_tables([rows, new]))
    return file is not None and commit(storage, snapshot, [None], [file]) == "published"


def standing(table: Table, files: Sequence[DataFile]) -> ReleasedTable:
    """A table's day as a release would name it."""
    prints = {file.fingerprint for file in files}
    keys = {file.run_key for file in files}
    return ReleasedTable(
        table.name,
        next(iter(prints)) if len(prints) == 1 else None,
        next(iter(keys)) if len(keys) == 1 else None,
        tuple(sorted(file.path for file in files)),
    )


def _id(day: date, tables: Sequence[ReleasedTable], sequence: int) -> str:
    said = [day.isoformat(), sequence, [[t.table, t.fingerprint, t.run_key, t.files] for t in tables]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _row(release: Release, held: str | None) -> pa.Table:
    tables = [
        {"table": t.table, "fingerprint": t.fingerprint, "run_key": t.run_key, "files": list(t.files)}
        for t in release.tables
    ]
    row = {
        "release_id": release.release_id,
        "released_day": release.day,
        "sequence": release.sequence,
        "created_at": release.created_at,
        "verdict": release.verdict,
        "reason": held,
        "tables": tables,
    }
    return pa.Table.from_pylist([row], schema=RELEASES.arrow)


def _release(row: dict[str, Any]) -> Release:
    tables = tuple(ReleasedTable(t["table"], t["fingerprint"], t["run_key"], tuple(t["files"])) for t in row["tables"])
    return Release(row["release_id"], row["released_day"], row["sequence"], row["verdict"], tables, row["created_at"])
