"""Dates and times as people, databases and spreadsheets write them.

Without a setting only what can be meant in one way is read: the year first, a month by its name, and days, months and
years between dots, which are day first wherever they are written. ``dates`` says how the rest is meant.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from datetime import timezone as fixed
from decimal import Decimal
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from otzyv.tasks.sources.reasons import EARLIEST, LATEST

Dates = Literal["iso", "day first", "month first", "epoch", "excel"]
"""How dates are written. ``iso``: only what is never ambiguous; ``day first`` and ``month first``: 01/03/2026 and
01.03.26 too; ``epoch``: numbers are seconds, milli-, micro- or nanoseconds since 1970 (their size tells which);
``excel``: numbers are days since 1899-12-30."""
DATES: tuple[Dates, ...] = get_args(Dates)

_FRACTION = r"(?:[.,]\d{1,9})?"
_ISO_ZONE = r"(?: ?(?:[Zz]|[+-]\d\d(?::?\d\d)?))?"
_ISO = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d{_FRACTION})?{_ISO_ZONE})?"
    rf"|\d{{8}}(?:[Tt ]\d{{4}}(?:\d\d{_FRACTION})?{_ISO_ZONE})?",  # the basic format: 20240501T123005Z
    re.ASCII,
)
_NO_DATE = re.compile(r"0000-00-00(?:[T ]00:00(?::00(?:\.0+)?)?)?Z?")  # MySQL's way to say none
_CLOCK = (
    rf"(?:(?:[Tt]|,? |, ?в | в )(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>{_FRACTION}))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?: ?(?:(?P<zulu>Z|z|UTC|GMT)|(?:UTC|GMT)?(?P<offset>[+-]\d\d?(?::?\d\d)?)))?(?: \([^()]{1,40}\))?)?"
)
_WEEKDAY = r"(?:[^\W\d_]{2,12}\.?,? )?"
_FORMS = tuple(
    re.compile(_WEEKDAY + form + _CLOCK)
    for form in (
        r"(?P<year>[0-9]{4})(?P<mark>[-/.])(?P<month>[0-9]{1,2})(?P=mark)(?P<day>[0-9]{1,2})",
        r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<other>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4}|[0-9]{2})(?: ?г\.?)?",
        r"(?P<day>[0-9]{1,2})[ -](?P<name>[^\W\d_]{3,9})\.?,?[ -](?P<year>[0-9]{4})(?: ?г\.?| ?года)?",
        r"(?P<name>[^\W\d_]{3,9})\.? (?P<day>[0-9]{1,2}),? (?P<year>[0-9]{4})",
    )
)
_NAMES = """
jan january янв января январь
feb february фев февр февраля февраль
mar march мар марта март
apr april апр апреля апрель
may мая май
jun june июн июня июнь
jul july июл июля июль
aug august авг августа август
sep sept september сен сент сентября сентябрь
oct october окт октября октябрь
nov november ноя нояб ноября ноябрь
dec december дек декабря декабрь
"""
_MONTHS = {name: number for number, names in enumerate(_NAMES.strip().split("\n"), 1) for name in names.split()}
_NUMBER = re.compile(r"\d{1,19}(?:[.,]\d{1,9})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = ((end - _EPOCH) // timedelta(microseconds=1) for end in (EARLIEST, LATEST))
_EXCEL = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's times have no zone


def moment(value: object, timezone: ZoneInfo, dates: Dates = "iso") -> datetime | None:
    """The time that ``value`` (a datetime, date, text or number) means, in UTC to the microsecond; None for 0000-00-00.

    One without a zone is read in ``timezone`` (of an hour that occurs twice, the first), a date as its midnight.
    Raises ValueError where it is no time, OverflowError where it lies outside [EARLIEST, LATEST).
    """
    if isinstance(value, str):
        value = value.strip()
        if value.startswith("0000") and _NO_DATE.fullmatch(value):
            return None
        found = _text(value, dates)
    elif isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, time())
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        found = _number(value, dates)
    else:
        raise ValueError("no time")
    # never .astimezone() of a naive time: that would read the machine's own zone
    instant = (found if found.tzinfo else found.replace(tzinfo=timezone)).astimezone(UTC)
    if not EARLIEST <= instant < LATEST:
        raise OverflowError("out of range")
    # a subclass (pandas' Timestamp) counts nanoseconds
    return instant if type(instant) is datetime else datetime.combine(instant.date(), instant.time(), UTC)


def _text(value: str, dates: Dates) -> datetime:
    if _ISO.fullmatch(value):
        return datetime.fromisoformat(value.upper().replace(" ", "T", 1).replace(" ", ""))
    if dates in ("epoch", "excel") and _NUMBER.fullmatch(value):
        return _number(Decimal(value.replace(",", ".")), dates)
    for form in _FORMS:
        if found := form.fullmatch(value):
            return _read(found.groupdict(), dates)
    raise ValueError("no time")


def _read(said: dict[str, str | None], dates: Dates) -> datetime:
    year, month, day = int(said["year"] or 0), said.get("month"), said.get("day")
    if name := said.get("name"):
        month = str(_MONTHS.get(name.lower(), 0))
    elif month is None:
        first, second = said["first"], said["other"]
        if dates not in ("day first", "month first") and (said["mark"] != "." or year < 100):
            raise ValueError("ambiguous")
        month, day = (first, second) if dates == "month first" else (second, first)
        if year < 100:
            year += 2000 if year < 90 else 1900
    hour = int(said["hour"] or 0)
    if half := said["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a half day")
        hour = hour % 12 + 12 * (half in "Pp")
    fraction = (said["fraction"] or "")[1:7].ljust(6, "0")
    return datetime(
        year, int(month or 0), int(day or 0), hour, int(said["minute"] or 0), int(said["second"] or 0), int(fraction),
        _zone(said),
    )  # fmt: skip


def _zone(said: dict[str, str | None]) -> tzinfo | None:
    if offset := said["offset"]:
        digits = offset[1:].replace(":", "")
        hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:-2]), int(digits[-2:]))
        return fixed((1 if offset[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
    return UTC if said["zulu"] else None


def _number(value: int | float | Decimal, dates: Dates) -> datetime:
    if not math.isfinite(value):
        raise ValueError("no time")
    if dates == "excel":
        return _EXCEL + timedelta(microseconds=round(Decimal(value) * 86_400_000) * 1000)  # Excel counts milliseconds
    if dates != "epoch":
        raise ValueError("no time unless the setting says so")
    exact = Decimal(value)
    for unit in (10**6, 10**3, 1, Decimal("0.001")):  # seconds, milli-, micro-, nanoseconds: their ranges never meet
        microseconds = int(exact * unit)
        if _FIRST <= microseconds < _LAST:
            return _EPOCH + timedelta(microseconds=microseconds)
    raise OverflowError("out of range")
