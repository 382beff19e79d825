"""What a backfill shows while it is at work: how far it is, and each table on each day.

One artifact is for people, and is bounded. Another one, which Prefect's pages do not list, holds the same as an object
for the page of the server behind ``otzyv serve``. They are written once and then renewed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, Literal, get_args
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import PREFECT_UI_URL

from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.artifact import cell, line
from otzyv.tasks.outcomes import Outcome
from otzyv.tasks.plan import Plan, TablePlan

State = Literal["planned", "running", "done", "reused", "held", "failed"]
"""``reused``: nothing had to be computed. ``held``: made, and a person must look first."""
FOLDED: tuple[State, ...] = ("planned", "reused")
"""Days of which nothing else is to be told are one row together, if they follow one another."""
MOST_ROWS, MOST_REASONS, MOST_KEPT = 150, 50, 5000
"""Rows and reasons of the artifact for people; rows of the other one."""
PROGRESS, GRID, RESULT = "backfill-progress", "backfill-grid", "backfill-result"
"""Keys of artifacts that people see."""
CELLS = "backfill cells"
"""How the description of the artifact begins that has no key and is for the page."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table on a day, or on days that are one row. Seconds and money are what it took, or will take as planned."""

    state: State
    why: str | None = None
    computed: int = 0
    reused: int = 0
    seconds: float | None = None
    money: float | None = None
    flow_run: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Days with all their tables; None: a table that is not in the plan of the day."""

    first: date
    last: date
    days: int
    cells: tuple[Cell | None, ...]

    @property
    def states(self) -> tuple[State | None, ...]:
        return tuple(each.state if each else None for each in self.cells)


@dataclass(frozen=True, slots=True)
class Grid:
    """Day by table, the newest day first. ``said``: how far the backfill is; ``going``: whether it is at work."""

    lake: str
    tables: tuple[str, ...]
    rows: tuple[Row, ...]
    said: str
    going: bool

    def as_json(self) -> str:
        """For the page; of a very long backfill the newest days."""
        told = {"lake": self.lake, "tables": self.tables, "rows": [asdict(row) for row in self.rows[:MOST_KEPT]]}
        more = max(len(self.rows) - MOST_KEPT, 0)
        return json.dumps(told | {"said": self.said, "going": self.going, "more": more}, default=str)


def grid(
    plan: Plan,
    outcomes: Iterable[Outcome],
    left: Collection[date],
    running: Collection[date],
    held: Mapping[date, str],
    *,
    because: str = "",
    going: bool = True,
) -> Grid:
    """How each table stands on each of the plan's days.

    ``left``: days that are not made yet, of which those of ``running`` are being made; ``held``: days that wait for a
    person, and why; ``because``: why days are left where the backfill has ended.
    """
    ended = {(outcome.table, outcome.day): outcome for outcome in outcomes}
    tables = dict.fromkeys((CLEAN_TEXT.name, *plan.extractors))
    tables |= dict.fromkeys(table.table for day in plan.days for table in day.tables)
    planned = {day.day: {table.table: table for table in day.tables} for day in plan.days}
    days = sorted(planned.keys() | {day for _, day in ended}, reverse=True)
    rows = []
    for day in days:
        cells = [
            _cell(planned.get(day, {}).get(name), ended.get((name, day)), day in left, day in running, held.get(day))
            for name in tables
        ]
        rows.append(Row(day, day, 1, tuple(cells)))
    return Grid(plan.lake, tuple(tables), tuple(_folded(rows, FOLDED)), _said(rows, because), going)


def _cell(planned: TablePlan | None, ended: Outcome | None, left: bool, running: bool, held: str | None) -> Cell | None:
    if ended and ended.state != "unchanged":
        figures = (ended.computed, ended.reused, ended.seconds, ended.money, ended.flow_run)
        if ended.state == "failed":
            return Cell("failed", ended.error, *figures)
        why = "another run published it" if ended.state == "superseded" else None
        state: State = "done" if ended.computed else "reused"
        return Cell("held", held, *figures) if held else Cell(state, why, *figures)
    if planned is None:
        return None
    if left and planned.why:
        cost = (planned.computed, planned.reused, planned.seconds, planned.money)
        return Cell("running" if running else "planned", ", ".join(planned.why), *cost)
    return Cell("held" if held and not left else "reused", None if left else held, 0, planned.reused, 0.0, 0.0)


def _folded(rows: Iterable[Row], states: Collection[State]) -> Iterator[Row]:
    """Rows of days that follow one another, and whose cells are all of these states and the same, as one."""
    for (_, foldable), group in groupby(rows, key=lambda row: (row.states, {*row.states} - {None} <= {*states})):
        stretch = list[Row]()
        for row in group:
            if stretch and not (foldable and stretch[-1].first - row.last == timedelta(days=1)):
                yield _sum(stretch)
                stretch = []
            stretch.append(row)
        yield _sum(stretch)


def _sum(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    columns = zip(*(row.cells for row in rows), strict=True)
    return Row(rows[-1].first, rows[0].last, sum(row.days for row in rows), tuple(map(_together, columns)))


def _together(cells: Sequence[Cell | None]) -> Cell | None:
    known = [cell for cell in cells if cell]
    if not known:
        return None
    why = {cell.why for cell in known}
    return Cell(
        known[0].state,
        why.pop() if len(why) == 1 else None,
        sum(cell.computed for cell in known),
        sum(cell.reused for cell in known),
        _total(cell.seconds for cell in known),
        _total(cell.money for cell in known),
    )


def _total(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


def _said(rows: Sequence[Row], because: str) -> str:
    """How many days are how far, and what it took."""
    far = Counter(next(state for state in _FAR if state in row.states) for row in rows if any(row.cells))
    spent = [cell for row in rows for cell in row.cells if cell and cell.state not in ("planned", "running")]
    seconds, money = (sum(getattr(cell, name) or 0.0 for cell in spent) for name in ("seconds", "money"))
    told = ", ".join(f"{far[state]} {state}" for state in get_args(State) if far[state])
    cost = f"{seconds:,.1f} s" + (f", money {money:.4g}" if money else "")
    return f"{len(rows)} days: {told}; {cost}" + (f"; days are left, as {because}" if because else "")


_FAR: tuple[State, ...] = ("failed", "running", "planned", "held", "done", "reused")
"""What a day is called whose tables are not all alike: the first of these that one of them is."""


def markdown(shown: Grid, page: str | None = None) -> str:
    """The grid for people: as many rows as can be looked through, then what failed and what is held, and why.

    ``page``: where all of it is shown. What comes from a lake or from an error can't break out of its cell.
    """
    rows = shown.rows
    if len(rows) > MOST_ROWS:  # then days that are alike in how far they are make a row together
        rows = tuple(_folded(rows, get_args(State)))
    lines = [cell(shown.said), ""]
    lines += [f"[Each day by itself]({page})", ""] if page else []
    lines += [line(["day", *map(cell, shown.tables)]), line(["---"] * (len(shown.tables) + 1))]
    lines += [line([_days(row), *map(_shown, row.cells)]) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {sum(row.days for row in rows[MOST_ROWS:])} older days"]
    reasons = [
        f"- {_days(row)} {cell(table)}: {cell(each.why)}"
        for row in shown.rows
        for table, each in zip(shown.tables, row.cells, strict=True)
        if each and each.why and each.state in ("failed", "held")
    ]
    if reasons:
        lines += ["", "Failed and held:", "", *reasons[:MOST_REASONS]]
        lines += [f"- and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return "\n".join(lines) + "\n"


def _days(row: Row) -> str:
    return str(row.first) if row.days == 1 else f"{row.first} to {row.last} ({row.days})"


def _shown(each: Cell | None) -> str:
    if each is None:
        return ""
    figures = f" {each.computed}" if each.state in ("planned", "running", "done") else ""
    said = f"{each.state}{figures}"
    link = f"{ui()}/runs/flow-run/{each.flow_run}"
    return f"[{said}]({link})" if each.flow_run and each.state not in ("planned", "running") else said


def ui() -> str:
    """Where Prefect's pages are; nothing where that is not known."""
    return (PREFECT_UI_URL.value() or "").rstrip("/")


@dataclass
class Shown:
    """The artifacts of a run, made when they are first shown. ``page``: whether the server shows the grid as well."""

    page: bool
    known: dict[str, UUID] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def progress(self, share: float) -> None:
        """The share of days that are made whole, 0 to 1."""
        self._put(PROGRESS, "progress", share * 100, "Days done, of those planned")

    def result(self, told: str) -> None:
        self._put(RESULT, "markdown", told, "How each table of each day ended")

    def grid(self, grid: Grid) -> None:
        run = str(runtime.flow_run.id)
        page = f"{ui()}/backfills/{run}" if self.page else None
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._put(CELLS, "result", grid.as_json(), f"{CELLS}, as of {at}")
        self._put(GRID, "markdown", markdown(grid, page), f"Each table on each day, as of {at}")

    def _put(self, name: str, kind: str, data: Any, description: str) -> None:
        """Make it or renew it, unless nothing has changed."""
        if self.last.get(name) == data:
            return
        with get_client(sync_client=True) as client:
            if there := self.known.get(name):
                # Not by the client's own method, which tells an event of it that holds all of the data again.
                told = {"data": data, "description": description}
                client.request("PATCH", "/artifacts/{id}", json=told, path_params={"id": there})
            else:
                run, key = UUID(str(runtime.flow_run.id)), None if name == CELLS else name
                made = ArtifactCreate(key=key, type=kind, description=description, data=data, flow_run_id=run)
                self.known[name] = client.create_artifact(made).id
        self.last[name] = data
