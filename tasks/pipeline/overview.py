"""How a lake stands: its last days, what waits for a person, what waits to be made, and the disk that it lies on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.releases import Release, waiting
from otzyv.tasks.pipeline.attempts import last_failures
from otzyv.tasks.pipeline.overdue import unmade

Seen = Literal["released", "held", "not released"]
"""``held``: the newest release waits for a person, and readers see the one before, if there is one."""


@dataclass(frozen=True, slots=True)
class Day:
    """``failed``: tables whose last attempt failed, and how; ``to_make``: its reviews are others than were released."""

    day: date
    seen: Seen
    made_at: datetime | None
    reviews: int
    failed: Mapping[str, str]
    to_make: bool


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the file system that the lake lies on."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Overview:
    """``last``: the newest days; ``held`` and ``to_make`` are of all days. ``disk``: None where it is not this
    machine's.
    """

    lake: str
    timezone: str
    days: int
    last: tuple[Day, ...]
    held: Mapping[date, str]
    to_make: tuple[date, ...]
    disk: Disk | None


def overview(lake: Lake, count: int) -> Overview:
    """Of the lake, and of that many of its newest days."""
    history = lake.history()
    reviews = lake.snapshot(REVIEWS)
    days = sorted({*reviews.days, *history}, reverse=True)
    to_make = unmade(lake)
    failed = last_failures(lake, days[:count])
    last = tuple(
        Day(
            day,
            *_seen(history.get(day, ())),
            sum(file.rows for file in reviews.of(day)),
            failed.get(day, {}),
            day in to_make,
        )
        for day in days[:count]
    )
    disk = None
    if not lake.storage.remote:
        used = shutil.disk_usage(lake.uri)
        disk = Disk(used.free, used.total)
    zone = lake.constants.timezone
    return Overview(lake.uri, zone, len(days), last, waiting(history), tuple(sorted(to_make)), disk)


def _seen(known: Sequence[Release]) -> tuple[Seen, datetime | None]:
    if not known:
        return "not released", None
    return ("released" if known[-1].visible else "held"), known[-1].created_at
