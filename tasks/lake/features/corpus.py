"""Contents of many days, each once, for learning: a sample that their order and days do not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow.compute as pc

from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, read_batches
from otzyv.tasks.lake.delta.storage import Storage


def texts(storage: Storage, snapshot: Snapshot, days: Sequence[date], column: str, most: int) -> list[str]:
    """Distinct texts of a column where the status is ok, ordered by their sha256: the first ``most`` of them."""
    kept: dict[bytes, str] = {}
    for batch in read_batches(storage, snapshot.table, _files(snapshot, days), [column, "status"]):
        for text in batch.filter(pc.equal(batch["status"], "ok"))[column].to_pylist():
            if text.strip():
                kept[hashlib.sha256(text.encode()).digest()] = text
        if len(kept) > 2 * most:
            kept = {sha: kept[sha] for sha in sorted(kept)[:most]}
    return [kept[sha] for sha in sorted(kept)[:most]]


def vectors(storage: Storage, snapshot: Snapshot, days: Sequence[date], most: int) -> Iterator[np.ndarray]:
    """Embeddings of distinct contents, float32 (dim,), day by day: of those ``most`` whose sha256 comes first."""
    files = _files(snapshot, days)
    known: set[str] = set()
    for batch in read_batches(storage, snapshot.table, files, ["content_sha256", "status"]):
        known.update(batch.filter(pc.equal(batch["status"], "ok"))["content_sha256"].to_pylist())
    wanted = set(sorted(known)[:most])
    for batch in read_batches(storage, snapshot.table, files, ["content_sha256", "embedding"], rows=1024):
        for row, sha in enumerate(batch["content_sha256"].to_pylist()):
            if sha in wanted and batch["embedding"][row].is_valid:
                wanted.remove(sha)
                yield np.array(batch["embedding"][row].values, np.float32)


def _files(snapshot: Snapshot, days: Sequence[date]) -> list[DataFile]:
    return [file for day in sorted(days) for file in sorted(snapshot.of(day), key=lambda file: file.path)]
