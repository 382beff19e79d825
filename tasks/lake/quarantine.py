"""Refused records, each once, with their bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import QUARANTINE
from tasks.lake.publish import commit_rows
from tasks.lake.snapshot import Snapshot, open_snapshot, read_batches
from tasks.lake.storage import Storage

SCAN = 1 << 16


def quarantine(storage: Storage, rows: pa.Table) -> int:
    """Add the rows of one day of arrival that are not there yet; returns how many were added."""
    while rows.num_rows:
        snapshot = open_snapshot(storage, QUARANTINE)
        known = _known(storage, snapshot, rows["raw_sha256"].combine_chunks())
        fresh: dict[tuple[object, ...], int] = {}
        for number, key in enumerate(_keys(rows)):
            if key not in known:
                fresh.setdefault(key, number)
        new = rows.take(pa.array(fresh.values(), pa.int64()))
        if not fresh or commit_rows(storage, snapshot, new, new["day"][0].as_py()):
            return len(fresh)
    return 0


def _known(storage: Storage, snapshot: Snapshot, raw: pa.Array) -> set[tuple[object, ...]]:
    """The keys that are there, of records with these sha256: the others never become Python objects."""
    known: set[tuple[object, ...]] = set()
    for batch in read_batches(storage, QUARANTINE, snapshot.files, QUARANTINE.keys, rows=SCAN):
        known.update(_keys(batch.filter(pc.is_in(batch["raw_sha256"], value_set=raw))))
    return known


def _keys(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[object, ...]]:
    return zip(*(rows[key].to_pylist() for key in QUARANTINE.keys), strict=True)
