"""Task: how the tables of a plan ended, by what the lake's ``runs`` say."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from otzyv.schemas.tables import RUNS
from otzyv.tasks.lake import Lake
from otzyv.tasks.plan import Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """One table of one day: its last attempt, ``unchanged`` where nothing had to be written."""

    table: str
    day: date
    state: str
    computed: int = 0
    reused: int = 0
    seconds: float = 0.0
    money: float = 0.0
    error: str | None = None
    flow_run: str | None = None


@task(name="outcomes", task_run_name="outcomes")
def outcomes(lake_uri: str, plan: Plan | None, days: Collection[date] | None, since: datetime) -> tuple[Outcome, ...]:
    """The last attempt since then of each table and day; of a plan's tables on these days, where they are given."""
    table = Lake(lake_uri).read(RUNS, columns=[*Outcome.__slots__, "started_at"])
    rows = table.filter(pc.greater_equal(table["started_at"], pa.scalar(since, table["started_at"].type))).to_pylist()
    rows = sorted(rows, key=lambda row: (row["day"], row["started_at"]))
    last = {(row["table"], row["day"]): Outcome(**{field: row[field] for field in Outcome.__slots__}) for row in rows}
    if plan is None or days is None:
        return tuple(last.values())
    asked = [(table.table, day.day) for day in plan.work if day.day in days for table in day.tables]
    return tuple(last.get(place) or Outcome(*place, "unchanged") for place in asked)


def without(plan: Plan, made: Iterable[Outcome]) -> Plan:
    """The plan without the days whose tables are all made."""
    done = {(outcome.table, outcome.day) for outcome in made if outcome.state != "failed"}
    left = tuple(day for day in plan.days if any((table.table, day.day) not in done for table in day.tables))
    return replace(plan, days=left)
