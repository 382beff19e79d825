"""Reviews brought into a lake without a source's files: what tests of later steps begin with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa

from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.upsert import upsert


def bring(lake: Lake, days: Mapping[date, Mapping[str, str | None]], *, edited: int = 0) -> None:
    """Bring in ``{day: {review_id: text}}``; a greater ``edited`` counts as a later edit."""
    rows = [
        {
            **dict.fromkeys(REVIEWS.names),
            "review_id": review_id,
            "text": text,
            "created_at": datetime.combine(day, time(12), UTC),
            "updated_at": datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=edited),
            "attachments": 0,
            "source_file": "made-up.jsonl",
            "source_sha256": hashlib.sha256(f"{review_id} {text}".encode()).hexdigest(),
            "day": day,
        }
        for day, reviews in days.items()
        for review_id, text in reviews.items()
    ]
    attached = pa.Table.from_pylist([], ATTACHMENTS.arrow.append(pa.field("record", pa.int64())))
    upsert(lake.storage, pa.Table.from_pylist(rows, REVIEWS.arrow), attached)
