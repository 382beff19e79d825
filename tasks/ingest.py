"""Task: bring the records of a source into the lake."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

import pyarrow as pa
from prefect import task

from schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS
from tasks.lake import Lake
from tasks.lake.blobs import put_blob
from tasks.lake.quarantine import quarantine
from tasks.lake.suppression import keyed, keyed_author, suppressed
from tasks.lake.upsert import upsert
from tasks.retry import DELAYS, RETRIES, environment_fault
from tasks.sources import (
    Dates,
    Listing,
    Names,
    Notes,
    Record,
    Refusal,
    SourceFile,
    as_told,
    fetch,
    find,
    read,
    told,
)
from tasks.text.redact import redact

BATCH = 2000


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of each record: records_in = accepted + quarantined + deduplicated + suppressed, exactly."""

    records_in: int
    accepted: int
    quarantined: int
    deduplicated: int
    suppressed: int
    days: tuple[date, ...]
    """Days that the source's records lie in, and days that a moved or vanished review left."""
    seconds: float
    newly_quarantined: int = 0
    """How many of the quarantined were not in quarantine before."""
    accepted_on: Mapping[date, int] = field(default_factory=dict)
    """The accepted by the day that they lie in."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """The quarantined by the reason."""
    gone: int | None = None
    """Reviews that the source no longer holds and the lake has let go; None where the source is no snapshot."""
    undecided: int = 0
    """Reviews with two states of which neither is newer by updated_at: one of them is kept, always the same."""
    notes: tuple[str, ...] = ()
    """What a person should know of the source: lines, the files that were left aside first."""

    def __post_init__(self) -> None:
        if self.records_in != self.accepted + self.quarantined + self.deduplicated + self.suppressed:
            raise AssertionError(f"the ingest's accounting does not add up: {asdict(self)}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from. ``snapshot``: what the source no longer holds is gone; ``append``: it stays.

    ``mapping``, ``encoding`` and ``dates`` say how its files are written, as ``tasks.sources.read`` takes them.
    """

    path: str
    mode: Literal["append", "snapshot"] = "append"
    mapping: Mapping[str, str] | None = None
    allow_empty: bool = False
    encoding: str | None = None
    dates: Dates = "iso"


@task(
    name="ingest",
    task_run_name="ingest {source.path}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def ingest(lake_uri: str, source: Source, author_key: str, days: Sequence[date] | None = None) -> Accounting:
    """Read a source as a stream, quarantine what can't be read, and upsert the rest.

    ``days`` fill a ``{day}`` in the source's path; without them every day found there is read. Raises SourceError for
    a file that is not what it claims to be.
    """
    started = dt.datetime.now(dt.UTC)
    lake = Lake(lake_uri)
    arrival = started.astimezone(lake.constants.zone).date()
    forgotten = suppressed(lake.storage)
    counts = {"records_in": 0, "quarantined": 0, "suppressed": 0, "newly_quarantined": 0}
    reviews: list[dict[str, Any]] = []
    attached: list[dict[str, Any]] = []
    batches: list[pa.RecordBatch] = []
    attachments: list[pa.RecordBatch] = []
    refused: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    daily = days if days and "{day}" in source.path else [None]
    listings = [find(source.path, day) for day in daily]
    names, notes = Names(), Notes()
    for listing in listings:
        told(listing.aside, notes)

    for file, item in _records(listings, source, lake, notes):
        counts["records_in"] += 1
        if isinstance(item, Refusal):
            if forgotten.named_in(item.raw, author_key):
                counts["suppressed"] += 1
                continue
            refused.append(_refused(item, arrival))
            counts["quarantined"] += 1
            reasons[item.reason] += 1
            if len(refused) >= BATCH:
                counts["newly_quarantined"] += _put_aside(lake, refused)
                refused.clear()
            continue
        author = keyed_author(author_key, item.author) if item.author else None
        if forgotten.covers(keyed(author_key, item.review_id), author):
            counts["suppressed"] += 1
            continue
        row = len(batches) * BATCH + len(reviews)
        reviews.append(_review(item, author, lake))
        attached += _attached(lake, file, item, names, row, reviews[-1]["day"])
        if len(reviews) == BATCH:
            batches.append(pa.RecordBatch.from_pylist(reviews, schema=REVIEWS.arrow))
            reviews.clear()
        if len(attached) >= BATCH:
            attachments.append(pa.RecordBatch.from_pylist(attached, schema=_ATTACHED))
            attached.clear()
    counts["newly_quarantined"] += _put_aside(lake, refused)
    batches.append(pa.RecordBatch.from_pylist(reviews, schema=REVIEWS.arrow))
    attachments.append(pa.RecordBatch.from_pylist(attached, schema=_ATTACHED))

    incoming = pa.Table.from_batches(batches)
    if not source.allow_empty:
        lake.check_sources(incoming["day"].unique().to_pylist())
    scope = None
    if source.mode == "snapshot":
        scope = days if days and "{day}" in source.path else lake.snapshot(REVIEWS).days
    done = upsert(
        lake.storage, incoming, pa.Table.from_batches(attachments), gone_from=scope, allow_empty=source.allow_empty
    )
    # A run that died here has moved reviews whose days were not made since, so what changed now is not all there is.
    touched = {*incoming["day"].unique().to_pylist(), *done.changed, *done.left, *_emptied(lake)}
    seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
    return Accounting(
        **counts,
        accepted=done.accepted,
        deduplicated=done.deduplicated,
        days=tuple(sorted(touched)),
        seconds=seconds,
        accepted_on=done.accepted_on,
        reasons=dict(reasons),
        gone=done.gone if scope is not None else None,
        undecided=done.undecided,
        notes=tuple(notes.lines()),
    )


def _emptied(lake: Lake) -> set[date]:
    """Days that readers see rows of, although no review is left in them."""
    seen = {day for day, release in lake.releases().items() if any(table.files for table in release.tables)}
    return seen - set(lake.snapshot(REVIEWS).days)


_ATTACHED = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))


def _records(
    listings: Sequence[Listing], source: Source, lake: Lake, notes: Notes
) -> Iterator[tuple[SourceFile, Record | Refusal]]:
    mapping, zone = source.mapping or {}, lake.constants.zone
    for file in (file for listing in listings for file in listing.files):
        for item in read(
            file, mapping=mapping, timezone=zone, encoding=source.encoding, dates=source.dates, notes=notes
        ):
            yield file, item


def _review(record: Record, author: str | None, lake: Lake) -> dict[str, Any]:
    return {
        "review_id": record.review_id,
        "text": redact(record.text) if record.text is not None else None,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "rating": record.rating,
        "author": author,
        "course_id": record.course_id,
        "course_title": record.course_title,
        "source": record.source,
        "attachments": len(record.attachments),
        "source_file": record.source_file,
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
            "day": day,
            "record": row,
        }


def _put_aside(lake: Lake, refused: Sequence[Mapping[str, Any]]) -> int:
    return quarantine(lake.storage, pa.Table.from_pylist(refused, schema=QUARANTINE.arrow))


def _refused(refusal: Refusal, arrival: date) -> dict[str, Any]:
    return {
        "source": refusal.source_file,
        "offset": refusal.offset,
        "rule": refusal.rule,
        "reason": refusal.reason,
        "raw": refusal.raw,
        "raw_sha256": refusal.raw_sha256,
        "day": arrival,
    }
