"""Refused records that their file holds as they should be by now: these leave quarantine."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import QUARANTINE
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import read_batches
from otzyv.tasks.lake.records.quarantine import SCAN, WHOLE_AT_ONCE, Key, key_of, remove
from otzyv.tasks.sources import Record, RejectedRecord


class Healed:
    """Of files that are read again: what of them is in quarantine, and which of that is refused no more.

    A file may have been read while it was written, or was corrected since. A refused record goes once its file gives a
    record of the same id or, of one that told none, one at the same place that begins with the same bytes. What has
    gone from its file stays: it is nowhere else.
    """

    def __init__(self, lake: Lake, files: Collection[str]) -> None:
        """``files``: as the quarantine names them."""
        self._lake = lake
        self._by_id: dict[tuple[str, str], set[Key]] = {}
        self._by_place: dict[tuple[str, int], dict[Key, bytes]] = {}
        self._gone: set[Key] = set()
        self._refused: set[Key] = set()
        snapshot, names = lake.snapshot(QUARANTINE), pa.array(sorted(files), pa.string())
        keys = read_batches(lake.storage, QUARANTINE, snapshot.files, ["source"], rows=SCAN)
        if not any(pc.any(pc.is_in(batch["source"], names)).as_py() for batch in keys):
            return
        columns = [*QUARANTINE.keys, "record_id", "raw"]
        for batch in read_batches(lake.storage, QUARANTINE, snapshot.files, columns, rows=WHOLE_AT_ONCE):
            for row in batch.filter(pc.is_in(batch["source"], names)).to_pylist():
                if row["record_id"] is not None:
                    self._by_id.setdefault((row["source"], row["record_id"]), set()).add(key_of(row))
                else:
                    self._by_place.setdefault((row["source"], row["offset"]), {})[key_of(row)] = row["raw"]

    def see(self, file: str, item: Record | RejectedRecord) -> None:
        """A record of a file as it is read now."""
        there = self._by_place.get((file, item.offset), {})
        if isinstance(item, Record):
            self._gone |= self._by_id.get((file, item.review_id), set())
        else:
            self._refused.add((file, item.offset, item.raw_sha256))
        self._gone |= {key for key, raw in there.items() if item.raw.startswith(raw)}

    def leave(self) -> int:
        """Remove them, once what was read is in the lake; returns how many there were."""
        return remove(self._lake.storage, self._gone - self._refused) if self._gone - self._refused else 0
