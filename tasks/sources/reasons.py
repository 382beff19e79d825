"""Why a record is refused and what would work: the closed set, and the limits that decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from otzyv.schemas.errors import InputError

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

_OF_RECORD = {
    "the record is not JSON": "json",
    "an object names a key twice": "json",
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
    "is a number that has lost digits": "type",
    "is not a number": "type",
    "is no list of files": "type",
    "is too long": "too_large",
    "holds a NUL or control character": "control",
    "is not valid Unicode": "encoding",
    "is no date or time that can be read": "timestamp",
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
        "encoding": "save the source as UTF-8, or name its encoding by the setting encoding",
        "control": "take the NUL and control characters out",
        "missing_field": "review_id and created_at are needed; the setting mapping says what the source calls them",
        "type": 'ids and texts are strings, rating a number, attachments a list of {"kind": "image", "uri": "1.jpg"} '
        "or of names of files",
        "too_large": "a record may have 16 MiB, an id 256 characters, a name 1,024",
        "row_format": "a row has as many cells as the header, and quotes inside quotes are doubled",
        "timestamp": "write times as 2026-03-01 or 2026-03-01T12:00:00+03:00, or say by the setting dates how they are "
        "written: day first, month first, epoch or excel",
        "range": "rating is from 1 to 5",
    }
)
"""What would work, for each rule of ``REASONS``."""

_ROUNDED = (
    "a spreadsheet has rounded the number: there, make the column text and fill it again, or write ids as text where "
    "the file comes from"
)


def remedy(reason: str) -> str:
    """What would work for a reason (a key of ``REASONS``)."""
    return _ROUNDED if reason.endswith("is a number that has lost digits") else REMEDIES[REASONS[reason]]


class SourceError(InputError):
    """A source that can't be read as what it claims to be: says which file, what is wrong and what would work."""


class NothingThereError(SourceError):
    """A source where nothing lies, or nothing to read: it may be that it has not come yet."""


class UnreachableError(SourceError):
    """The folder of a source is not there or can't be listed: nobody can tell whether anything has come."""


class InvalidRecord(Exception):
    """Why one record is refused. ``what`` is one of the phrases above, said of ``column`` or of the whole record.

    ``review_id``: whose record it is, where that could be read.
    """

    review_id: str | None = None

    def __init__(self, what: str, column: str = "") -> None:
        self.reason = f"{column} {what}" if column else what
        self.rule = REASONS[self.reason]
        super().__init__(self.reason)
