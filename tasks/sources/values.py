"""What a value means, whatever format it came in: missing ones, ids, ratings, times, attached files.

A value that is one of ``MISSING``, or NaN, is none, in every column and every format.
"""

from __future__ import annotations

import ast
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from otzyv.tasks.sources import times
from otzyv.tasks.sources.reasons import RECORD_BYTES, InvalidRecord
from otzyv.tasks.sources.strict_json import loads

MISSING = frozenset(
    ("", "nan", "NaN", "NAN", "-nan", "NaT", "<NA>", "None", "NULL", "Null", "null", "\\N", "N/A", "#N/A")
)
"""What stands for a missing value where a format has no word for it: so pandas, MySQL, PostgreSQL and Excel write."""

MAX_ATTACHMENTS = 100
MAX_URI = 4096
_LONGEST = {"review_id": 256, "course_id": 256, "author": 1024, "course_title": 1024, "source": 1024}
"""Longest value in characters; a text is bounded by its record."""
_NUMBERS = frozenset({"review_id", "course_id", "author"})
"""Columns whose value may be a whole number: it is read as its decimal digits."""
_IDS = frozenset({"review_id", "course_id"})
"""Columns that hold no control character at all; the others hold no NUL, the rest is left to text cleaning."""
_EXACT = 2**53
"""Whole numbers up to this are told apart by a float."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d{0,15}))[.,]0", re.ASCII)  # as pandas writes whole numbers beside a missing one
_ROUNDED = re.compile(r"[+-]?\d(?:[.,]\d+)?[Ee]\+\d+", re.ASCII)  # as Excel shows a long number: 1,23457E+12
_RATING = re.compile(r"[+-]?\d{1,20}(?:[.,]\d{1,20})?", re.ASCII)  # a spreadsheet set to Russian writes 4,5
_PYTHON = 2**16
"""Lists in Python's own writing, as pandas puts them into CSV, are read up to this length."""


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """A file that a record names. ``kind``: ``image``, ``audio``, or ``other`` for anything else or nothing said."""

    kind: str
    uri: str


def present(value: object) -> object:
    """``value``, or None where it stands for a missing one."""
    if isinstance(value, str):
        return None if value in MISSING else value
    return None if isinstance(value, float | Decimal) and value != value else value


def string(values: Mapping[str, object], column: str) -> str | None:
    """Text or an id; a whole number serves as an id, ``101.0`` is ``101``. Raises Fault."""
    value = values.get(column)
    if value is None or present(value) is None:
        return None
    if column in _NUMBERS:
        value = _digits(value, column)
    return _checked(value, column, longest=_LONGEST.get(column, RECORD_BYTES), strict=column in _IDS)


def _digits(value: object, column: str) -> object:
    if isinstance(value, str):
        if "+" in value and _ROUNDED.fullmatch(value):
            raise InvalidRecord("is a number that has lost digits", column)
        whole = _WHOLE.fullmatch(value) if value.endswith("0") else None
        return whole[1] if whole else value
    if type(value) is int:  # type(): True is an int too
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        if abs(value) > _EXACT:
            raise InvalidRecord("is a number that has lost digits", column)
        return str(int(value))
    return value


def _checked(value: object, column: str, *, longest: int, strict: bool) -> str:
    """``value`` if it is text that every later step can hold: no NUL, no lone surrogate, of bounded length."""
    if not isinstance(value, str):
        raise InvalidRecord("is not text", column)
    if len(value) > longest:
        raise InvalidRecord("is too long", column)
    if "\0" in value or (strict and _CONTROL.search(value)):
        raise InvalidRecord("holds a NUL or control character", column)
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate: legal in a JSON escape, but no character
        raise InvalidRecord("is not valid Unicode", column) from None
    return value


def time(values: Mapping[str, object], column: str, timezone: ZoneInfo, dates: times.Dates) -> datetime | None:
    """A time in UTC; one without a zone is read in ``timezone``. Raises Fault."""
    value = values.get(column)
    if value is None or present(value) is None:
        return None
    try:
        return times.moment(value, timezone, dates)
    except ValueError:
        raise InvalidRecord("is no date or time that can be read", column) from None
    except OverflowError:
        raise InvalidRecord("lies outside the years 1990 to 2099", column) from None


def rating(values: Mapping[str, object]) -> float | None:
    """From 1 to 5, rounded to float32, as the lake keeps it; a number in text counts, with a decimal comma too."""
    value = values.get("rating")
    if isinstance(value, str):
        value = value.strip()
        if _RATING.fullmatch(value):
            value = float(value.replace(",", "."))
    value = present(value)
    if value is None:
        return None
    if type(value) is not int and not isinstance(value, float | Decimal):
        raise InvalidRecord("is not a number", "rating")
    if not 1 <= value <= 5:
        raise InvalidRecord("is not from 1 to 5", "rating")
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def attachments(values: Mapping[str, object]) -> tuple[AttachmentRef, ...]:
    """Files: a list of ``{kind, uri}`` or of names, such a list in text as JSON or as Python has it, or one name."""
    value = present(values.get("attachments"))
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = _written(value)
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise InvalidRecord("is no list of files", "attachments")
    if len(value) > MAX_ATTACHMENTS:
        raise InvalidRecord("is too long", "attachments")
    return tuple(_attachment(item) for item in value)


def _written(text: str) -> object:
    try:
        return loads(text.encode("utf-8", "surrogatepass"))
    except InvalidRecord as fault:
        if len(text) <= _PYTHON:
            try:
                with warnings.catch_warnings(action="ignore"):  # of "\d" within a text
                    return ast.literal_eval(text.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                pass
        what = "is not valid Unicode" if fault.rule == "encoding" else "is no list of files"
        raise InvalidRecord(what, "attachments") from None


def _attachment(item: object) -> AttachmentRef:
    kind, uri = (item.get("kind"), item.get("uri")) if isinstance(item, dict) else (None, item)
    if not isinstance(kind, str | None) or not isinstance(uri, str) or not uri:
        raise InvalidRecord("is no list of files", "attachments")
    uri = _checked(uri, "attachments", longest=MAX_URI, strict=True)
    return AttachmentRef(kind if kind in ("image", "audio") else "other", uri)
