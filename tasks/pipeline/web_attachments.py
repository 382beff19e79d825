"""Attached files of an ingest that lie on the web: of records that count, and of those only what the lake lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pyarrow as pa

from otzyv.schemas.tables import ATTACHMENTS
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.records.blobs import blob_path, put_blob
from otzyv.tasks.lake.records.upsert import CONTENT
from otzyv.tasks.sources import AttachmentRef
from otzyv.tasks.sources.attachments import Attachment
from otzyv.tasks.sources.web import Web

AT_ONCE = 4
"""How many files are fetched at the same time."""
SETTLED = frozenset({"too large", "empty file", "no known type", "another kind"})
"""Reasons that a file itself gave: it is not fetched again for a record that has not changed."""
WAITING = pa.schema(
    [*ATTACHMENTS.arrow, pa.field("record", pa.int64()), pa.field("cut", pa.bool_()), pa.field("stamp", pa.string())]
)
"""Rows of ``attachments`` with the number of the record that has them, whether ``uri`` is less than it says, and what
tells the file from one that was changed since (null of one on the web).
"""


class OnTheWeb:
    """The files that records name and that wait to be fetched until it is known which records count."""

    def __init__(self, storage: Storage, web: Web) -> None:
        self._storage = storage
        self._web = web
        self._waiting: list[tuple[AttachmentRef, dict[str, Any]]] = []
        self._fetched: dict[AttachmentRef, Attachment] = {}

    def __bool__(self) -> bool:
        """Whether any file waits."""
        return bool(self._waiting)

    def takes(self, ref: AttachmentRef) -> bool:
        """Whether the file lies on the web, and may be looked for there."""
        return self._web.takes(ref.uri)

    def add(self, ref: AttachmentRef, row: Mapping[str, Any]) -> None:
        """Note a file and its row of ``WAITING`` but for what fetching it tells."""
        self._waiting.append((ref, dict(row)))

    def rows(self, records: Collection[int], known: pa.Table) -> pa.Table:
        """The rows (``WAITING``) of the files that these records name, the files fetched and put into the lake.

        ``known``: rows that the lake has of records that have not changed; their files are not fetched again. Raises
        FetchFailed.
        """
        held = {(row["review_id"], row["position"]): row for row in known.to_pylist()}
        rows: list[dict[str, Any]] = []
        missing: list[tuple[AttachmentRef, dict[str, Any]]] = []
        for ref, row in self._waiting:
            if row["record"] in records:
                there = held.get((row["review_id"], row["position"]))
                # Attachments of another state of the review: a run died before it brought in the review itself.
                if not there or there["source_sha256"] != row["source_sha256"] or not self._stands(there):
                    missing.append((ref, row))
                else:
                    rows.append(row | {name: there[name] for name in CONTENT})
        self._fetch(dict.fromkeys(ref for ref, _ in missing if ref not in self._fetched))
        rows += [row | as_row(self._fetched[ref]) for ref, row in missing]
        return pa.Table.from_pylist(rows, schema=WAITING)

    def _stands(self, row: Mapping[str, Any]) -> bool:
        if row["status"] == "ok":
            return bool(self._storage.size(blob_path(row["content_sha256"])) == row["bytes"])
        return row["reason"] in SETTLED

    def _fetch(self, refs: Collection[AttachmentRef]) -> None:
        pool = ThreadPoolExecutor(AT_ONCE, "fetch")
        try:
            for ref, found in zip(refs, pool.map(self._one, refs), strict=True):
                self._fetched[ref] = found
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, ref: AttachmentRef) -> Attachment:
        content = BytesIO()
        found = self._web.fetch(ref, content)
        if found.sha256 is not None:
            put_blob(self._storage, content.getvalue(), found.sha256)
        return found


def as_row(found: Attachment) -> dict[str, Any]:
    """``CONTENT`` of a file."""
    told = (found.kind, found.sha256, found.bytes_len, found.media_type, found.status, found.reason)
    return dict(zip(CONTENT, told, strict=True))
