"""Days that daily runs are to make: their reviews came in since these began and were not made, or tables failed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from otzyv.schemas.errors import LakeError
from otzyv.schemas.tables import ATTACHMENTS, REVIEWS, RUNS
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.attempts import ATTEMPT, last_failed

BEGAN = "_daily/began.json"
"""Where the lake keeps what the first daily run found."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """``days``: those to make. ``history``: those whose reviews were there when the first daily run had brought in its
    own, and are as they were: they are for a backfill, if they are wanted.
    """

    days: tuple[date, ...]
    history: tuple[date, ...]


def since(lake: Lake, window: Sequence[date]) -> date:
    """The first day that daily runs of the lake look at: that of the ``window`` of the first of them."""
    told = _began(lake)
    return min([*window, *([date.fromisoformat(told["since"])] if told else [])])


def overdue(lake: Lake, window: Sequence[date]) -> Overdue:
    """What waits to be made, up to the first day of the ``window``, which is its newest.

    A table that failed waits as long as its last attempt did, on days since daily runs began.
    """
    waiting = {day: made_of for day, made_of in unmade(lake).items() if day <= window[0]}
    told = _began(lake)
    if told is None:
        older = {str(day): made_of for day, made_of in waiting.items() if day < min(window)}
        lake.storage.write_new(BEGAN, json.dumps({"since": str(min(window)), "history": older}).encode())
        told = _began(lake) or {"since": str(min(window)), "history": older}
    first = date.fromisoformat(told["since"])
    failed = {day for _, day in last_failed(lake.read(RUNS, columns=ATTEMPT)) if first <= day <= window[0]}
    history = {day for day, made_of in waiting.items() if told["history"].get(str(day)) == made_of} - {*window}
    return Overdue(tuple(sorted((waiting.keys() - history) | failed)), tuple(sorted(history)))


def _began(lake: Lake) -> Mapping[str, Any] | None:
    """What the first daily run noted; None before it."""
    try:
        told: Mapping[str, Any] = json.loads(lake.storage.read(BEGAN))
    except FileNotFoundError:
        return None
    except ValueError:
        raise LakeError(
            f"{lake.storage.at(BEGAN)} is damaged: make the days that wait by otzyv backfill, then remove it"
        ) from None
    return told


def unmade(lake: Lake) -> dict[date, str]:
    """The days with reviews that no release was made of, be it held or rolled back since: digests of these."""
    snapshots = [lake.snapshot(table) for table in (REVIEWS, ATTACHMENTS)]
    history = lake.history()
    found = {}
    for day in sorted({*snapshots[0].days, *history}):
        there = {each.table.name: {file.path for file in each.of(day)} for each in snapshots}
        made_of = [
            {name: {*released.files} if (released := release.by_name.get(name)) else set[str]() for name in there}
            for release in history.get(day, ())
        ]
        if there not in made_of:
            paths = sorted(path for of_table in there.values() for path in of_table)
            found[day] = hashlib.sha256(json.dumps(paths).encode()).hexdigest()
    return found
