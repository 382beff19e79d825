"""What the tests of the readers share: made-up reviews, and reading bytes as a file of a source."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from otzyv.schemas.tables import RULES
from otzyv.tasks.sources import REASONS, Record, RejectedRecord, files, read

UTC = ZoneInfo("UTC")

MISSING = ("nan", "NaN", "NAN", "-nan", "NaT", "<NA>", "None", "NULL", "Null", "null", "\\N", "N/A", "#N/A")
"""Whole values that stand for a missing one."""

GOOD: dict[str, Any] = {
    "review_id": "r1",
    "text": "Отличный курс",
    "created_at": "2024-05-01T12:00:00Z",
    "rating": 5,
    "attachments": [{"kind": "image", "uri": "photos/1.jpg"}],
}


def line(**fields: Any) -> bytes:
    """A good review as a line of JSON, with ``fields`` put in or (given as ...) left out."""
    return json.dumps({k: v for k, v in (GOOD | fields).items() if v is not ...}, ensure_ascii=False).encode()


def parquet(rows: Sequence[Mapping[str, Any]], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink, **how)
    return sink.getvalue()


def read_bytes(
    folder: Path,
    data: bytes,
    *,
    ending: str = ".jsonl",
    timezone: ZoneInfo = UTC,
    mapping: Mapping[str, str] | None = None,
    **how: Any,
) -> list[Record | RejectedRecord]:
    """``data`` read as a file of a source; everything refused is checked to say why, and to hold its bytes."""
    path = folder / f"reviews{ending}"
    path.write_bytes(gzip.compress(data) if ending == ".jsonl.gz" else data)
    found = list(read(files(path)[0], mapping=mapping or {}, timezone=timezone, **how))
    for one in found:
        if isinstance(one, RejectedRecord):
            assert one.rule in RULES
            assert REASONS[one.reason] == one.rule
            assert len(one.raw) <= 2**20
            assert len(one.raw) == 2**20 or one.raw_sha256 == hashlib.sha256(one.raw).hexdigest()
    return found


def outcome(found: Record | RejectedRecord) -> str:
    return found.review_id if isinstance(found, Record) else found.rule
