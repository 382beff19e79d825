"""Refused records, each once, with their bytes."""

from __future__ import annotations

import pyarrow as pa

from schemas.tables import QUARANTINE
from tasks.lake.publish import commit_rows
from tasks.lake.snapshot import open_snapshot, read_table
from tasks.lake.storage import Storage


def quarantine(storage: Storage, rows: pa.Table) -> int:
    """Add the rows of one day of arrival that are not there yet; returns how many were added."""
    while True:
        snapshot = open_snapshot(storage, QUARANTINE)
        known = set(_keys(read_table(storage, QUARANTINE, snapshot.files, QUARANTINE.keys)))
        fresh = [number for number, key in enumerate(_keys(rows)) if key not in known]
        if not fresh:
            return 0
        new = rows.take(pa.array(fresh, pa.int64()))
        if commit_rows(storage, snapshot, new, new["day"][0].as_py()):
            return len(fresh)


def _keys(rows: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(rows[key].to_pylist() for key in QUARANTINE.keys), strict=True))
