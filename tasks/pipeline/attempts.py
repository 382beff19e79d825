"""How the last attempts at tables ended, as a lake's runs tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import RUNS
from otzyv.tasks.lake import Lake

ATTEMPT = ("table", "day", "state", "started_at")


def last_failed(runs: pa.Table) -> set[tuple[str, date]]:
    """Tables and days whose last attempt failed. ``runs``: the columns ``ATTEMPT`` of that table."""
    last = {(run["table"], run["day"]): run["state"] for run in sorted(runs.to_pylist(), key=lambda r: r["started_at"])}
    return {place for place, state in last.items() if state == "failed"}


def last_failures(lake: Lake, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """Of each day its tables whose last attempt failed, and the error that says how."""
    runs = lake.read(RUNS, columns=[*ATTEMPT, "error"])
    runs = runs.filter(pc.is_in(runs["day"], pa.array(days, runs["day"].type)))
    last = {(run["day"], run["table"]): run for run in runs.sort_by("started_at").to_pylist()}
    found: dict[date, dict[str, str]] = {}
    for (day, table), run in last.items():
        if run["state"] == "failed":
            found.setdefault(day, {})[table] = str(run["error"])
    return found
