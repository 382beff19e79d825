"""What the quality verdict of a day is taken from: its figures, those readers see, and the days before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table
from schemas.tables import CLEAN_TEXT
from tasks.extractors import get
from tasks.lake import Lake
from tasks.lake.releases import ReleasedTable
from tasks.lake.snapshot import CorruptFile, DataFile, read_batches, read_table
from tasks.quality.figures import flat_columns, measure
from tasks.quality.verdict import Cloud, Limits, Measured, Metrics, critical

DAYS = 14
"""How many days back a day is compared with."""
MeasureOne = Callable[[date, ReleasedTable], tuple[Metrics | None, Cloud | None]]


def held(lake: Lake, day: date, limits: Limits, tables: Sequence[ReleasedTable]) -> str | None:
    """Why a person must look at the day before readers see it with these tables; None if they may see it at once."""
    seen = lake.releases([day - timedelta(days=back) for back in range(DAYS + 1)])
    known = {file.path: file.rows for file in lake.snapshot(CLEAN_TEXT).files}
    usual = [
        sum(known[path] for path in files)
        for other, release in seen.items()
        if other != day
        for files in [table.files for table in release.tables if table.table == CLEAN_TEXT.name]
        if files and all(path in known for path in files)
    ]
    reference = max(seen, default=None)  # the day itself where readers see something of it
    measure_one = cache(partial(_measure, lake))  # what a run left as it was is read once, for both sides
    before = None
    with suppress(CorruptFile):  # what readers had may be what this release is to mend
        before = _measured(measure_one, reference, seen[reference].tables) if reference else None
    said = critical(limits, _measured(measure_one, day, tables), before, usual, reviews=CLEAN_TEXT.name)
    return "; ".join(said) or None


def _measured(measure_one: MeasureOne, day: date, tables: Sequence[ReleasedTable]) -> Measured:
    figures: dict[str, Mapping[str, float]] = {}
    clouds = {}
    for released in tables:
        found, cloud = measure_one(day, released)
        if found is not None:
            figures[released.table] = found
        if cloud is not None:
            clouds[released.table] = cloud
    return Measured(figures, clouds, {released.table: released.fingerprint for released in tables})


def _measure(lake: Lake, day: date, released: ReleasedTable) -> tuple[Metrics | None, Cloud | None]:
    """The figures and the vectors of one table's day; None of a table that is not known here, or has no vectors."""
    table = definition(released.table)
    if table is None:
        return None, None
    files = [DataFile(path, 0, 0, day) for path in released.files]
    figures = measure(table, read_table(lake.storage, table, files, flat_columns(table)))
    clouds = [_cloud(lake, table, files, column.name) for column in table.values if column.dim]
    return figures, next(filter(None, clouds), None)


def definition(name: str) -> Table | None:
    """The feature table of that name; None of another table, or where this process does not know its extractor."""
    if name == CLEAN_TEXT.name:
        return CLEAN_TEXT
    try:
        return get(name).card.table
    except LookupError:
        return None


def _cloud(lake: Lake, table: Table, files: Sequence[DataFile], column: str) -> Cloud | None:
    """Sums are kept, a batch at a time, so that memory does not grow with the day."""
    rows, total, squares = 0, np.zeros(1), 0.0
    for batch in read_batches(lake.storage, table, files, ["status", column]):
        vectors = batch.column(column).filter(pc.equal(batch.column("status"), "ok"))
        if len(vectors):
            numbers = _matrix(vectors)
            rows, total, squares = rows + len(numbers), total + numbers.sum(0), squares + float((numbers**2).sum())
    if not rows:
        return None
    mean = total / rows
    return Cloud(rows, mean, float(np.sqrt(max(squares / rows - float(mean @ mean), 0.0))))


def _matrix(vectors: pa.ListArray) -> np.ndarray:
    """(n, dim) float64 of lists of one length."""
    return np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(len(vectors), -1)
