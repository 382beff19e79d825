"""What checking a day costs, beside writing it as Parquet, and whether its memory grows with the vectors."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from otzyv.schemas.checks import check
from otzyv.schemas.sample import sample
from otzyv.schemas.table import Column
from otzyv.schemas.tables import feature_table
from tests.bench.figure import Figure, alternate
from tests.bench.process import peak, tell_peak

ROWS, DIM = 200_000, 312
TABLE = feature_table(
    "text_vectors",
    [
        Column(
            name="embedding",
            type=pa.list_(pa.float32()),
            required=False,
            value=True,
            dim=DIM,
            unit=True,
            doc="a unit vector",
        )
    ],
    row="a vector of a review",
    attached=False,
)


def figures() -> Iterator[Figure]:
    yield _time(sample(TABLE, ROWS, seed=1))
    day, ten = (peak(__name__, str(rows)) for rows in (ROWS // 10, ROWS))
    yield Figure(
        "peak memory of checks with ten times the rows",
        ten / day,
        "<= 1.3",
        f"{ROWS // 10:,} rows {day / 2**20:.0f} MiB, {ROWS:,} rows {ten / 2**20:.0f} MiB, imports included",
    )


def _time(made: pa.Table) -> Figure:
    keys = made.select(TABLE.keys)
    with tempfile.TemporaryDirectory() as folder:
        checked, written, ratio = alternate(
            lambda: check(TABLE, made, expected=keys), lambda: pq.write_table(made, Path(folder) / "day.parquet")
        )
    return Figure(
        "checks of a day, of the time of pyarrow.parquet.write_table",
        1 / ratio,
        "<= 2",
        f"{ROWS:,} rows x {DIM} floats, keys expected: checks {checked:.2f} s, plain write {written:.2f} s",
    )


def _stream(rows: int) -> Iterator[pa.RecordBatch]:
    [batch] = sample(TABLE, 2000, seed=1).to_batches()
    for start in range(0, rows, 2000):
        ids = pa.array([f"review-{i:08d}" for i in np.arange(start, start + 2000)])
        yield pa.RecordBatch.from_arrays([ids, *batch.columns[1:]], schema=batch.schema)


if __name__ == "__main__":
    report = check(TABLE, _stream(int(sys.argv[1])))
    if not report.ok:
        raise SystemExit(f"the made-up rows failed: {report.failed}")
    tell_peak()
