"""What a source holds: records and refusals, and the rules that tell them apart."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

COLUMNS = (
    "review_id", "text", "created_at", "rating", "author", "course_id", "course_title", "updated_at", "source",
    "attachments",
)  # fmt: skip
"""The columns of a source. review_id and created_at are needed in every record; others may be null, empty or absent."""

RECORD_BYTES = 16 * 2**20
"""A longer record is refused as too_large. Texts beyond an extractor's limit but within this are kept."""
RAW_BYTES = 2**20
"""How much of a refused record's bytes is kept."""

EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside [EARLIEST, LATEST) are refused: no review is older than the web, and a typing slip is no far future."""

MAX_ATTACHMENTS = 100
MAX_URI = 4096
_LONGEST = {"review_id": 256, "course_id": 256, "author": 1024, "course_title": 1024, "source": 1024}
"""Longest value in characters; a text is bounded by its record."""
_NUMBERS = frozenset({"review_id", "course_id", "author"})
"""Columns whose value may be a whole number: it is read as its decimal digits."""
_IDS = frozenset({"review_id", "course_id"})
"""Columns that hold no control character at all; the others hold no NUL, the rest is left to text cleaning."""

_OF_RECORD = {
    "the record is not JSON": "json",
    "an object names a key twice": "json",
    "NaN and Infinity are no JSON": "json",
    "a number has too many digits": "json",
    "nested too deep": "json",
    "the record is not an object": "type",
    "the bytes are not UTF-8": "encoding",
    "the record holds a NUL byte": "control",
    "the record is larger than 16 MiB": "too_large",
    "the row has more or fewer cells than the header": "row_format",
    "quotes are not closed or not doubled": "row_format",
}
_OF_COLUMN = {
    "is missing": "missing_field",
    "is not text": "type",
    "is not a number": "type",
    "is not a list of {kind, uri}": "type",
    "is too long": "too_large",
    "holds a NUL or control character": "control",
    "is not valid Unicode": "encoding",
    "is not an ISO 8601 date or time": "timestamp",
    "lies outside the years 1990 to 2099": "timestamp",
    "is not from 1 to 5": "range",
}
REASONS: Mapping[str, str] = MappingProxyType(
    _OF_RECORD | {f"{column} {what}": rule for column in COLUMNS for what, rule in _OF_COLUMN.items()}
)
"""Every reason a record can be refused for, with its rule (one of ``schemas.tables.RULES``)."""

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "json": "a record is one JSON object on a line of its own",
        "encoding": "save the source as UTF-8",
        "control": "take the NUL and control characters out",
        "missing_field": "review_id and created_at are needed; the setting mapping says what the source calls them",
        "type": 'ids and texts are strings, rating a number, attachments a list of {"kind": "image", "uri": "1.jpg"}',
        "too_large": "a record may have 16 MiB, an id 256 characters, a name 1,024",
        "row_format": "a row has as many cells as the header, and quotes inside quotes are doubled",
        "timestamp": "write times as 2026-03-01 or 2026-03-01T12:00:00+03:00",
        "range": "rating is from 1 to 5",
    }
)
"""What would work, for each rule of ``REASONS``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ZONE = r"(?: ?(?:[Zz]|[+-]\d\d(?::?\d\d)?))?"
_TIME = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?{_ZONE})?"
    rf"|\d{{8}}(?:[Tt ]\d{{4}}(?:\d\d(?:[.,]\d{{1,9}})?)?{_ZONE})?",  # the basic format: 20240501T123005Z
    re.ASCII,
)
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class SourceError(Exception):
    """A source that can't be read as what it claims to be: says which file, what is wrong and what would work."""


class NothingThereError(SourceError):
    """A source where nothing lies, or nothing to read: it may be that it has not come yet."""


class Fault(Exception):
    """Why one record is refused. ``what`` is one of the phrases above, said of ``column`` or of the whole record.

    ``review_id``: whose record it is, where that could be read.
    """

    review_id: str | None = None

    def __init__(self, what: str, column: str = "") -> None:
        self.reason = f"{column} {what}" if column else what
        self.rule = REASONS[self.reason]
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """A file that a record names. ``kind``: ``image``, ``audio``, or ``other`` for anything else or nothing said."""

    kind: str
    uri: str


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that was not taken: where it lies, the rule and reason (a key of ``REASONS``), and its bytes.

    ``raw`` holds at most ``RAW_BYTES`` of them; ``raw_sha256`` is of all of them. ``review_id``: whose record it is,
    None where that can't be told.
    """

    source_file: str
    offset: int
    rule: str
    reason: str
    raw: bytes
    raw_sha256: str
    review_id: str | None = None


def refuse(source_file: str, offset: int, fault: Fault, raw: bytes, raw_sha256: str | None = None) -> Refusal:
    """``raw_sha256`` is given where ``raw`` is only the beginning of the record."""
    digest = raw_sha256 or hashlib.sha256(raw).hexdigest()
    return Refusal(source_file, offset, fault.rule, fault.reason, raw[:RAW_BYTES], digest, fault.review_id)


def parse(values: Mapping[str, object], *, timezone: ZoneInfo, source_file: str, offset: int, raw: bytes) -> Record:
    """The record that ``values`` (our column names, the source's values) make; raises Fault.

    Times are datetimes or ISO 8601 strings (``2024-05-01``, ``2024-05-01 12:30``, ``…T12:30:05.25+03:00``, ``…Z``,
    ``20240501T123005Z``); those without a zone are read in ``timezone`` (of an hour that occurs twice, the first), a
    date as its midnight.
    """
    review_id = _string(values, "review_id")
    if review_id is None or not review_id.strip():
        raise Fault("is missing", "review_id")
    try:
        return _record(review_id, values, timezone, source_file, offset, raw)
    except Fault as fault:
        fault.review_id = review_id
        raise


def _record(
    review_id: str, values: Mapping[str, object], timezone: ZoneInfo, source_file: str, offset: int, raw: bytes
) -> Record:
    if len(raw) > RECORD_BYTES:
        raise Fault("the record is larger than 16 MiB")
    created_at = _time(values, "created_at", timezone)
    if created_at is None:
        raise Fault("is missing", "created_at")
    updated_at = _time(values, "updated_at", timezone)
    text, author = _string(values, "text"), _string(values, "author")
    course_id, course_title = _string(values, "course_id"), _string(values, "course_title")
    rating, source, attachments = _rating(values), _string(values, "source"), _attachments(values)
    means = {
        "review_id": review_id, "text": text, "created_at": created_at.isoformat(),
        "updated_at": updated_at and updated_at.isoformat(), "rating": rating, "author": author,
        "course_id": course_id, "course_title": course_title, "source": source,
        "attachments": [[ref.kind, ref.uri] for ref in attachments],
    }  # fmt: skip
    said = {column: value for column, value in means.items() if value}  # a column added later changes no digest
    return Record(
        review_id, text, created_at, updated_at, rating, author, course_id, course_title, source, attachments,
        source_file, offset, raw, hashlib.sha256(_canonical(said).encode()).hexdigest(),
    )  # fmt: skip


def _string(values: Mapping[str, object], column: str) -> str | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    if type(value) is int and column in _NUMBERS:  # type(): True is an int too
        value = str(value)
    return _checked(value, column, longest=_LONGEST.get(column, RECORD_BYTES), strict=column in _IDS)


def _checked(value: object, column: str, *, longest: int, strict: bool) -> str:
    """``value`` if it is text that every later step can hold: no NUL, no lone surrogate, of bounded length."""
    if not isinstance(value, str):
        raise Fault("is not text", column)
    if len(value) > longest:
        raise Fault("is too long", column)
    if "\0" in value or (strict and _CONTROL.search(value)):
        raise Fault("holds a NUL or control character", column)
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate: legal in a JSON escape, but no character
        raise Fault("is not valid Unicode", column) from None
    return value


def _time(values: Mapping[str, object], column: str, timezone: ZoneInfo) -> datetime | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            value = datetime.fromisoformat(value.upper().replace(" ", "T", 1).replace(" ", ""))
        except ValueError:
            raise Fault("is not an ISO 8601 date or time", column) from None
    if not isinstance(value, datetime):
        raise Fault("is not an ISO 8601 date or time", column)
    try:
        # never .astimezone() of a naive time: that would read the machine's own zone
        moment = (value if value.tzinfo else value.replace(tzinfo=timezone)).astimezone(UTC)
    except OverflowError:
        raise Fault("lies outside the years 1990 to 2099", column) from None
    if not EARLIEST <= moment < LATEST:
        raise Fault("lies outside the years 1990 to 2099", column)
    return moment


def _rating(values: Mapping[str, object]) -> float | None:
    value = values.get("rating")
    if value is None or value == "":
        return None
    if type(value) is not int and type(value) is not float:
        raise Fault("is not a number", "rating")
    if not 1 <= value <= 5:  # NaN is not, either
        raise Fault("is not from 1 to 5", "rating")
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _attachments(values: Mapping[str, object]) -> tuple[AttachmentRef, ...]:
    value = values.get("attachments")
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        raise Fault("is not a list of {kind, uri}", "attachments")
    if len(value) > MAX_ATTACHMENTS:
        raise Fault("is too long", "attachments")
    return tuple(_attachment(item) for item in value)


def _attachment(item: object) -> AttachmentRef:
    if not isinstance(item, dict):
        raise Fault("is not a list of {kind, uri}", "attachments")
    kind, uri = item.get("kind"), item.get("uri")
    if not isinstance(kind, str | None) or not isinstance(uri, str) or not uri:
        raise Fault("is not a list of {kind, uri}", "attachments")
    uri = _checked(uri, "attachments", longest=MAX_URI, strict=True)
    return AttachmentRef(kind if kind in ("image", "audio") else "other", uri)
