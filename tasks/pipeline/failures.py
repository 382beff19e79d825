"""Which tables of days failed at their last attempt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import RUNS
from otzyv.tasks.lake import Lake


def last_failures(lake: Lake, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """Of each day its tables whose last attempt failed, and the error that says how."""
    runs = lake.read(RUNS, columns=["table", "day", "state", "started_at", "error"])
    runs = runs.filter(pc.is_in(runs["day"], pa.array(days, runs["day"].type)))
    last = {(run["day"], run["table"]): run for run in runs.sort_by("started_at").to_pylist()}
    found: dict[date, dict[str, str]] = {}
    for (day, table), run in last.items():
        if run["state"] == "failed":
            found.setdefault(day, {})[table] = str(run["error"])
    return found
