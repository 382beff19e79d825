"""Ranges of days, none so long that it can only be a slip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, tzinfo
from typing import Annotated

from pydantic import Field

from otzyv.schemas.errors import InvalidInput

MOST = 36_525
"""Days of a hundred years."""
Count = Annotated[int, Field(ge=1, le=MOST)]
"""How many days, the last one included."""


def between(first: date, last: date) -> list[date]:
    """The days from one to another, both included. Raises ValueError where they are too many, or none."""
    if last < first:
        raise InvalidInput(f"{first} comes after {last}")
    count = (last - first).days + 1
    if count > MOST:
        raise InvalidInput(f"{first} to {last} are {count:,} days; give at most {MOST:,}, which are a hundred years")
    return [first + timedelta(days=n) for n in range(count)]


def within(first: date, last: date, known: Callable[[], Iterable[date]]) -> list[date]:
    """The days from one to another; of more than a hundred years those that are ``known``, in their order.

    Raises InvalidInput where the last comes before the first.
    """
    if last < first or (last - first).days < MOST:
        return between(first, last)
    return sorted(day for day in known() if first <= day <= last)


def until(last: date, count: int) -> list[date]:
    """The last day and those before it, the newest first: as many as asked for, or as the calendar has."""
    return [last - timedelta(days=n) for n in range(min(count, last.toordinal()))]


def before(start: datetime, zone: tzinfo) -> date:
    """The day before the one that a scheduled run starts on, in a zone.

    Where clocks are put forward at midnight, Prefect starts what is scheduled in the hour that is left out an hour
    earlier, on the day before: such a run stands for the same day as if that hour were there.
    """
    local, later = start.astimezone(zone), (start + timedelta(hours=1)).astimezone(zone)
    left_out = later.date() > local.date() and (later.utcoffset() or _NOTHING) > (local.utcoffset() or _NOTHING)
    return (later if left_out else local).date() - timedelta(days=1)


_NOTHING = timedelta()
