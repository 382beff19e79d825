"""What an extractor is to read on a day: its expected keys, and each distinct content once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.features.row_cache import SLICE, RowCache
from otzyv.tasks.lake.records.blobs import read_blob

Reads = Literal["raw", "plain", "text", "image", "audio"]
"""reviews.text, clean_text.plain, clean_text.text, or the attachments of a kind."""


@dataclass(frozen=True)
class DayContents:
    """``keys``: key columns, content_sha256 and status, sorted by key, one row per row the table must have.

    ``sizes``: characters, bytes or numbers of each key's content. ``read`` gives a content by its row in ``keys``.
    ``files``: paths of the data files that tell of them, sorted.
    """

    keys: pa.Table
    sizes: list[int]
    read: Callable[[int], str | bytes | np.ndarray]
    files: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """sha256 over the keys: what the day's rows depend on, besides the extractor."""
        digest = hashlib.sha256()
        for name in self.keys.column_names:
            digest.update(name.encode() + b"\0")
            digest.update("".join(f"{value!r}\n" for value in self.keys.column(name).to_pylist()).encode())
        return digest.hexdigest()

    def distinct(self) -> Iterator[tuple[str, int]]:
        """(content_sha256, row of its first use) of every content that is to be read, in key order."""
        seen = set()
        pairs = zip(self.keys["content_sha256"].to_pylist(), self.keys["status"].to_pylist(), strict=True)
        for row, (sha, status) in enumerate(pairs):
            if status == "ok" and sha not in seen:
                seen.add(sha)
                yield sha, row


def run_key(table: str, day: date, inputs: str, fingerprint: str, *, whole: bool = True) -> str:
    """What names a publication. A day with rows of a passing fault is not ``whole``: the next run tries those again."""
    said = [table, day.isoformat(), inputs, fingerprint, *([] if whole else ["not whole"])]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def source(reads: Reads) -> Table:
    """The table that such contents are read from."""
    return {"raw": REVIEWS, "plain": CLEAN_TEXT, "text": CLEAN_TEXT}.get(reads, ATTACHMENTS)


def day_contents(storage: Storage, reads: Reads, day: date, snapshot: Snapshot | None = None) -> DayContents:
    """The contents of a day as the lake's tables hold them now, or as a snapshot of their source has them."""
    snapshot = snapshot or open_snapshot(storage, source(reads))
    files = _paths(snapshot.of(day))
    if reads in ("image", "audio"):
        return replace(_attached(storage, snapshot, reads, day), files=files)
    names = ["review_id", "text"] if reads == "raw" else ["review_id", reads, "status"]
    return replace(text_contents(_day(storage, snapshot, day, names), "text" if reads == "raw" else reads), files=files)


def text_contents(rows: pa.Table, column: str) -> DayContents:
    """The texts in a column of ``reviews`` or, where there is a status, of ``clean_text``."""
    rows = _sorted(rows, ["review_id"])
    texts = rows[column].combine_chunks()
    parts = (texts.slice(start, SLICE).to_pylist() for start in range(0, len(texts), SLICE))  # never all at once
    sha = [_sha256(text) if text is not None else None for text in chain.from_iterable(parts)]
    given = rows["status"].to_pylist() if "status" in rows.column_names else ["ok"] * rows.num_rows
    # A review without text is as empty as one whose text is blank; what cleaning could not make, nobody reads.
    status = ["empty" if s is None and g == "ok" else g for s, g in zip(sha, given, strict=True)]
    keys = pa.table(
        {"review_id": rows["review_id"], "content_sha256": pa.array(sha, pa.string()), "status": pa.array(status)}
    )
    sizes = [size or 0 for size in pc.utf8_length(texts).to_pylist()]
    return DayContents(keys, sizes, lambda row: str(texts[row].as_py()))


def vector_contents(storage: Storage, table: Table, files: Sequence[DataFile], day: date) -> DayContents:
    """The vectors in a day of a table, as its files hold them; rows without one keep their status."""
    rows = _sorted(read_table(storage, table, files, [*table.keys, "content_sha256", "status"]), list(table.keys))
    hashes = rows["content_sha256"].to_pylist()
    shelf = RowCache(storage, table, day, str(files[0].fingerprint) if files else "")
    shelf.take_over(files)
    dim = table.column("embedding").dim or 0
    return DayContents(rows, [dim] * rows.num_rows, lambda row: shelf.vector(hashes[row]), _paths(files))


def _paths(files: Sequence[DataFile]) -> tuple[str, ...]:
    return tuple(sorted(file.path for file in files))


def _attached(storage: Storage, snapshot: Snapshot, kind: str, day: date) -> DayContents:
    names = ["review_id", "position", "kind", "content_sha256", "bytes", "status"]
    rows = _day(storage, snapshot, day, names)
    rows = _sorted(rows.filter(pc.equal(rows["kind"], kind)), ["review_id", "position"])
    hashes = rows["content_sha256"].to_pylist()
    return DayContents(
        rows.select(["review_id", "position", "content_sha256", "status"]),
        [size or 0 for size in rows["bytes"].to_pylist()],
        lambda row: read_blob(storage, hashes[row]),
    )


def _day(storage: Storage, snapshot: Snapshot, day: date, columns: list[str]) -> pa.Table:
    return read_table(storage, snapshot.table, snapshot.of(day), columns)


def _sorted(rows: pa.Table, keys: list[str]) -> pa.Table:
    return rows.sort_by([(key, "ascending") for key in keys])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
