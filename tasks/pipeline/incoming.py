"""Records on their way into the lake: authors as keyed hashes, contacts redacted, attached files fetched."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from datetime import date
from typing import Any

import pyarrow as pa

from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.blobs import put_blob
from otzyv.tasks.lake.records.suppression import Suppressed, keyed_author
from otzyv.tasks.pipeline.web_attachments import WAITING, OnTheWeb, as_row
from otzyv.tasks.sources import Names, Record, SourceFile, as_told, fetch
from otzyv.tasks.sources.web import Web
from otzyv.tasks.text.redact import ALL, redact

BATCH = 2000


class Incoming:
    """Collects rows of ``reviews`` and ``attachments`` for an upsert, in batches of Arrow; ``kinds`` are redacted.

    Files on the web wait for the upsert to tell which records count, and are fetched as ``web`` says.
    """

    def __init__(
        self,
        lake: Lake,
        author_key: str,
        forgotten: Suppressed,
        kinds: Collection[str] = ALL,
        web: Web | None = None,
    ) -> None:
        self._lake, self._key, self.forgotten, self._kinds = lake, author_key, forgotten, kinds
        self._web = OnTheWeb(lake.storage, web or Web())
        self._names = Names()
        self._reviews: list[dict[str, Any]] = []
        self._attached: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self._attachments: list[pa.RecordBatch] = []

    def take(self, record: Record, file: SourceFile, came_from: str) -> bool:
        """Take a record of ``file`` in, which reviews are to name as ``came_from``; False if it is to be forgotten."""
        if self.forgotten.covers(self._key, record.review_id, record.author):
            return False
        author = keyed_author(self._key, record.author) if record.author else None
        row = len(self._batches) * BATCH + len(self._reviews)
        self._reviews.append(_review(record, came_from, author, self._lake, self._kinds))
        self._attached += self._files(file, record, row, self._reviews[-1]["day"])
        if len(self._reviews) == BATCH:
            self._batches.append(pa.RecordBatch.from_pylist(self._reviews, schema=REVIEWS.arrow))
            self._reviews.clear()
        if len(self._attached) >= BATCH:
            self._attachments.append(pa.RecordBatch.from_pylist(self._attached, schema=WAITING))
            self._attached.clear()
        return True

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """What ``upsert`` takes."""
        reviews = pa.RecordBatch.from_pylist(self._reviews, schema=REVIEWS.arrow)
        attached = pa.RecordBatch.from_pylist(self._attached, schema=WAITING)
        return pa.Table.from_batches([*self._batches, reviews]), pa.Table.from_batches([*self._attachments, attached])

    @property
    def on_the_web(self) -> Callable[[Collection[int], pa.Table], pa.Table] | None:
        """What ``upsert`` calls for files on the web; None where no record names any."""
        return self._web.rows if self._web else None

    def _files(self, file: SourceFile, record: Record, row: int, day: date) -> Iterator[dict[str, Any]]:
        """A row of each attached file, but for those on the web."""
        for position, reference in enumerate(record.attachments):
            told = as_told(reference.uri)
            about = {
                "review_id": record.review_id,
                "position": position,
                "uri": told,
                "source_sha256": record.sha256,
                "day": day,
                "record": row,
                "cut": told != reference.uri.strip() and told != reference.uri,
            }
            if self._web.takes(reference):
                self._web.add(reference, about)
                continue
            content = io.BytesIO()
            found = fetch(file, reference, content, names=self._names)
            if found.sha256 is not None:
                put_blob(self._lake.storage, content.getvalue(), found.sha256)
            yield about | as_row(found) | {"stamp": found.stamp}


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
