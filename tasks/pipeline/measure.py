"""What is measured of one table's day: its figures, and the cloud of its vectors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Table
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile, read_batches, read_table
from otzyv.tasks.lake.delta.storage import Stamp, Storage
from otzyv.tasks.quality.measures import flat_columns, measure
from otzyv.tasks.quality.verdict import Metrics, VectorStats

KEPT = 4096
"""Of how many tables' days a process remembers the figures: a run records them, and judges by them."""
CLOUDS_KEPT = 256
"""Of how many it remembers the vectors' mean: each day of a span is judged beside the one before."""


def figures(storage: Storage, table: Table, files: tuple[str, ...]) -> Metrics:
    """The figures of what lies in these files. Raises CorruptFile where one is missing or damaged."""
    return _figures(storage, table, files, tuple(_stamp(storage, path) for path in files))


def _stamp(storage: Storage, path: str) -> Stamp:
    try:
        return storage.stamp(path)
    except FileNotFoundError as error:
        raise CorruptFile(storage, path, error) from error


@lru_cache(maxsize=KEPT)
def _figures(storage: Storage, table: Table, files: tuple[str, ...], stamps: tuple[Stamp, ...]) -> Metrics:
    return measure(table, read_table(storage, table, _data(files), flat_columns(table)))


def vector_stats(storage: Storage, table: Table, files: tuple[str, ...]) -> VectorStats | None:
    """The vectors in these files, of the first column that has some; None if there are none.

    Sums are kept, a batch at a time, so that memory does not grow with the day.
    """
    return _vector_stats(storage, table, files, tuple(_stamp(storage, path) for path in files))


@lru_cache(maxsize=CLOUDS_KEPT)
def _vector_stats(
    storage: Storage, table: Table, files: tuple[str, ...], stamps: tuple[Stamp, ...]
) -> VectorStats | None:
    clouds = (_cloud(storage, table, files, column.name) for column in table.values if column.dim)
    return next(filter(None, clouds), None)


def _cloud(storage: Storage, table: Table, files: tuple[str, ...], column: str) -> VectorStats | None:
    rows, total, squares = 0, np.zeros(1), 0.0
    for batch in read_batches(storage, table, _data(files), ["status", column]):
        vectors = batch.column(column).filter(pc.equal(batch.column("status"), "ok"))
        if len(vectors):
            numbers = _matrix(vectors)
            rows, total, squares = rows + len(numbers), total + numbers.sum(0), squares + np.vdot(numbers, numbers)
    if not rows:
        return None
    mean = total / rows
    return VectorStats(rows, mean, float(np.sqrt(max(squares / rows - float(mean @ mean), 0.0))))


def _data(files: tuple[str, ...]) -> list[DataFile]:
    return [DataFile(path, 0, 0, None) for path in files]


def _matrix(vectors: pa.ListArray) -> np.ndarray:
    """(n, dim) float64 of lists of one length."""
    return np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(len(vectors), -1)
