"""What a source holds: records and refusals, and the rules that tell them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from otzyv.tasks.sources import values as column
from otzyv.tasks.sources.mojibake import mended
from otzyv.tasks.sources.reasons import RAW_BYTES, RECORD_BYTES, InvalidRecord
from otzyv.tasks.sources.times import Dates
from otzyv.tasks.sources.values import AttachmentRef

_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Record:
    """One review as its source gave it, checked and normalised. An empty string and null are both None.

    Times are aware and in UTC, to the microsecond; ``rating`` is rounded to float32, as the lake keeps it.
    ``offset`` is the byte offset in the (uncompressed) JSONL or the row number from 0 of a CSV or Parquet file.
    ``raw`` is the record as received (Parquet: its row as canonical JSON). ``sha256`` digests what the record means:
    the same review has the same digest in every format, in any order of keys.
    """

    review_id: str
    text: str | None
    created_at: datetime
    updated_at: datetime | None
    rating: float | None
    author: str | None
    course_id: str | None
    course_title: str | None
    source: str | None
    attachments: tuple[AttachmentRef, ...]
    source_file: str
    offset: int
    raw: bytes
    sha256: str
    mended: str | None = None
    """What had happened to its text or title, which were read in a wrong encoding and are corrected here."""
    damaged: bool = False
    """Whether its text was read in a wrong encoding and can't be put right."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that was not taken: where it lies, the rule and reason (a key of ``REASONS``), and its bytes.

    ``raw`` holds at most ``RAW_BYTES`` of them; ``raw_sha256`` is of all of them. ``review_id``: whose record it is,
    None where that can't be told. ``context``: JSON of what is needed beside its bytes to read it again, if anything.
    """

    source_file: str
    offset: int
    rule: str
    reason: str
    raw: bytes
    raw_sha256: str
    review_id: str | None = None
    context: str | None = None


def refuse(
    source_file: str,
    offset: int,
    fault: InvalidRecord,
    raw: bytes,
    raw_sha256: str | None = None,
    context: Mapping[str, object] | None = None,
) -> RejectedRecord:
    """``raw_sha256`` is given where ``raw`` is only the beginning of the record."""
    digest = raw_sha256 or hashlib.sha256(raw).hexdigest()
    beside = _canonical(context) if context else None
    return RejectedRecord(
        source_file, offset, fault.rule, fault.reason, raw[:RAW_BYTES], digest, fault.review_id, beside
    )


def parse(
    values: Mapping[str, object], *, timezone: ZoneInfo, dates: Dates = "iso", source_file: str, offset: int, raw: bytes
) -> Record:
    """The record that ``values`` (our column names, the source's values) make, by the rules of ``values.py``.

    Times without a zone are read in ``timezone``; ``dates`` says how those are written that could be meant in several
    ways. Raises Fault.
    """
    review_id = column.string(values, "review_id")
    if review_id is None or not review_id.strip():
        raise InvalidRecord("is missing", "review_id")
    try:
        return _record(review_id, values, timezone, dates, source_file, offset, raw)
    except InvalidRecord as fault:
        fault.review_id = review_id
        raise


def _record(
    review_id: str, values: Mapping[str, object], timezone: ZoneInfo, dates: Dates, source_file: str, offset: int,
    raw: bytes,
) -> Record:  # fmt: skip
    if len(raw) > RECORD_BYTES:
        raise InvalidRecord("the record is larger than 16 MiB")
    created_at = column.time(values, "created_at", timezone, dates)
    if created_at is None:
        raise InvalidRecord("is missing", "created_at")
    updated_at = column.time(values, "updated_at", timezone, dates)
    said, author = mended(column.string(values, "text") or ""), column.string(values, "author")
    course_id, title = column.string(values, "course_id"), mended(column.string(values, "course_title") or "")
    text, course_title = said.text or None, title.text or None
    rating, source, attachments = column.rating(values), column.string(values, "source"), column.attachments(values)
    means = {
        "review_id": review_id, "text": text, "created_at": created_at.isoformat(),
        "updated_at": updated_at and updated_at.isoformat(), "rating": rating, "author": author,
        "course_id": course_id, "course_title": course_title, "source": source,
        "attachments": [[ref.kind, ref.uri] for ref in attachments],
    }  # fmt: skip
    digested = {name: value for name, value in means.items() if value}  # a column added later changes no digest
    return Record(
        review_id, text, created_at, updated_at, rating, author, course_id, course_title, source, attachments,
        source_file, offset, raw, hashlib.sha256(_canonical(digested).encode()).hexdigest(),
        said.was or title.was, said.damaged,
    )  # fmt: skip
