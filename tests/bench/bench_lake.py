"""Staging and committing a day of vectors, against writing the same rows with pyarrow alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from otzyv.schemas.table import Column
from otzyv.schemas.tables import feature_table
from otzyv.tasks.lake.delta.publish import FileWriter, commit
from otzyv.tasks.lake.delta.snapshot import open_snapshot
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.features.row_cache import RowCache
from tests.bench.figure import Figure, alternate

ROWS, DIM, CHUNK = 200_000, 312, 1024
DAY = date(2026, 3, 1)
VECTOR = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, dim=DIM, doc="a vector")
TABLE = feature_table("bench", [VECTOR], row="a vector", attached=False)


def figures() -> Iterator[Figure]:
    """Chunks staged, then written, then committed."""
    hashes = pa.array([f"{n:064x}" for n in range(ROWS)])
    vectors = pa.ListArray.from_arrays(
        pa.array(np.arange(0, ROWS * DIM + 1, DIM, dtype=np.int32)),
        pa.array(np.random.default_rng(0).random(ROWS * DIM, dtype=np.float32)),
    )
    ok = pa.repeat("ok", ROWS)
    chunks = pa.table({"content_sha256": hashes, "status": ok, "embedding": vectors}).to_batches(CHUNK)
    keys = pa.table({"review_id": hashes, "content_sha256": hashes, "status": ok})
    root = Path(tempfile.mkdtemp())
    try:
        whole = RowCache(Storage(root / "whole"), TABLE, DAY, "f" * 64)
        for chunk in chunks:
            whole.add(chunk)
        plain = pa.Table.from_batches(whole.rows(DAY, keys, "k" * 64))

        def ours() -> None:
            storage = Storage(root / "lake")
            shelf = RowCache(storage, TABLE, DAY, "f" * 64)
            for chunk in chunks:
                shelf.add(chunk)
            with FileWriter(storage, TABLE, DAY) as writer:
                for batch in shelf.rows(DAY, keys, "k" * 64):
                    writer.write(batch)
                file = writer.close()
            snapshot = open_snapshot(storage, TABLE)
            commit(storage, snapshot, [DAY], [file] if file else [])
            shelf.clear()
            shutil.rmtree(root / "lake")

        def theirs() -> None:
            pq.write_table(plain, root / "plain.parquet")

        mine, other, ratio = alternate(ours, theirs, runs=3)
        detail = f"{ROWS:,} rows x {DIM}: {mine:.2f} s against {other:.2f} s of pyarrow.parquet.write_table"
        yield Figure(
            "staging and committing a day, of the time of pyarrow.parquet.write_table", 1 / ratio, "<= 1.5", detail
        )
    finally:
        shutil.rmtree(root)
