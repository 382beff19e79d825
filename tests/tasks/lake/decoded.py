"""All that anybody could find in a lake's files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq


def decoded(lake: Path) -> Iterator[str]:
    """What every file of the lake holds: raw bytes, and the values of Parquet files."""
    for path in lake.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                rows = pq.read_table(path, partitioning=None)
                values = [value for row in rows.to_pylist() for value in row.values()]
                values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
                yield json.dumps(values, ensure_ascii=False, default=str)
