"""Records on their way into the lake: authors as keyed hashes, contacts redacted, attached files fetched."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

import pyarrow as pa

from schemas.tables import ATTACHMENTS, REVIEWS
from tasks.lake import Lake
from tasks.lake.blobs import put_blob
from tasks.lake.suppression import Suppressed, keyed_author
from tasks.sources import Names, Record, SourceFile, as_told, fetch
from tasks.text.redact import ALL, redact

BATCH = 2000
_ATTACHED = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))


class Incoming:
    """Collects rows of ``reviews`` and ``attachments`` for an upsert, in batches of Arrow; ``kinds`` are redacted."""

    def __init__(self, lake: Lake, author_key: str, forgotten: Suppressed, kinds: Collection[str] = ALL) -> None:
        self._lake, self._key, self._forgotten, self._kinds = lake, author_key, forgotten, kinds
        self._names = Names()
        self._reviews: list[dict[str, Any]] = []
        self._attached: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self._attachments: list[pa.RecordBatch] = []

    def take(self, record: Record, file: SourceFile, came_from: str) -> bool:
        """Take a record of ``file`` in, which reviews are to name as ``came_from``; False if it is to be forgotten."""
        if self._forgotten.covers(self._key, record.review_id, record.author):
            return False
        author = keyed_author(self._key, record.author) if record.author else None
        row = len(self._batches) * BATCH + len(self._reviews)
        self._reviews.append(_review(record, came_from, author, self._lake, self._kinds))
        self._attached += _attached(self._lake, file, record, self._names, row, self._reviews[-1]["day"])
        if len(self._reviews) == BATCH:
            self._batches.append(pa.RecordBatch.from_pylist(self._reviews, schema=REVIEWS.arrow))
            self._reviews.clear()
        if len(self._attached) >= BATCH:
            self._attachments.append(pa.RecordBatch.from_pylist(self._attached, schema=_ATTACHED))
            self._attached.clear()
        return True

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """What ``upsert`` takes."""
        reviews = pa.RecordBatch.from_pylist(self._reviews, schema=REVIEWS.arrow)
        attached = pa.RecordBatch.from_pylist(self._attached, schema=_ATTACHED)
        return pa.Table.from_batches([*self._batches, reviews]), pa.Table.from_batches([*self._attachments, attached])


def _review(record: Record, came_from: str, author: str | None, lake: Lake, kinds: Collection[str]) -> dict[str, Any]:
    return {
        "review_id": record.review_id,
        "text": redact(record.text, kinds) if record.text is not None else None,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "rating": record.rating,
        "author": author,
        "course_id": record.course_id,
        "course_title": record.course_title,
        "source": record.source,
        "attachments": len(record.attachments),
        "source_file": came_from,
        "source_sha256": record.sha256,
        "former_day": None,
        "day": record.created_at.astimezone(lake.constants.zone).date(),
    }


def _attached(
    lake: Lake, file: SourceFile, record: Record, names: Names, row: int, day: date
) -> Iterator[dict[str, Any]]:
    for position, reference in enumerate(record.attachments):
        content = io.BytesIO()
        found = fetch(file, reference, content, names=names)
        if found.sha256 is not None:
            put_blob(lake.storage, content.getvalue(), found.sha256)
        yield {
            "review_id": record.review_id,
            "position": position,
            "kind": found.kind,
            "content_sha256": found.sha256,
            "bytes": found.bytes_len,
            "media_type": found.media_type,
            "status": found.status,
            "reason": found.reason,
            "uri": as_told(reference.uri),
            "source_sha256": record.sha256,
            "day": day,
            "record": row,
        }
