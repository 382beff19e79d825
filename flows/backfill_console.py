"""What people and programs see of plans and backfills on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid

from flows.backfill import BackfillReport
from tasks.plan import Plan

_FIGURES = ("new", "changed", "reused", "gone")


def plan_as_object(plan: Plan) -> dict[str, Any]:
    """A plan as the JSON object that ``--json`` prints; seconds and money are null where they are not known."""
    return {
        "what": plan.what,
        "days": [
            {
                "day": day.day,
                "released": day.released,
                "work": day.work,
                "tables": [{**asdict(table), "computed": table.computed} for table in day.tables],
            }
            for day in plan.days
        ],
        "missing": plan.missing,
        "seconds": plan.seconds,
        "money": plan.money,
        "digest": plan.digest,
    }


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """A row for each table of each day that has something to do, and the sum. Standard error names missing days."""
    if plan.note:
        click.echo(plan.note, err=True)
    if as_json:
        click.echo(json.dumps(plan_as_object(plan), ensure_ascii=False, default=str))
        return
    paid = plan.money != 0.0
    costs = ("seconds", "money") if paid else ("seconds",)
    grid = _grid(*_FIGURES, *costs, last="why")
    for day in plan.work:
        tables = [table for table in day.tables if table.why]
        for table in tables:
            figures = [str(getattr(table, name)) for name in _FIGURES]
            figures += [_figure(table.seconds, 1), _figure(table.money, 2)][: len(costs)]
            grid.add_row(str(day.day), table.table, *figures, ", ".join(table.why))
        if not tables:
            grid.add_row(str(day.day), "", *[""] * (len(_FIGURES) + len(costs)), "to be released")
    if grid.row_count:
        Console().print(grid)
    cost = f"{_figure(plan.seconds, 1)} s" + (f", money {_figure(plan.money, 2)}" if paid else "")
    click.echo(f"{len(plan.work)} of {len(plan.days)} days have something to do" + (f": {cost}" if plan.work else ""))


def show_backfill(report: BackfillReport, *, as_json: bool) -> None:
    """The plan, then how each of its tables ended."""
    if as_json:
        if report.plan.note:
            click.echo(report.plan.note, err=True)
        said = {
            "plan": plan_as_object(report.plan),
            "outcomes": [asdict(outcome) for outcome in report.outcomes],
            "left": report.left,
            "dry_run": report.dry_run,
        }
        click.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    show_plan(report.plan, as_json=False)
    if report.dry_run or not report.plan.work:
        return
    grid = _grid("computed", "reused", "seconds", last="outcome")
    for outcome in report.outcomes:
        figures = [str(outcome.computed), str(outcome.reused), f"{outcome.seconds:.1f}"]
        grid.add_row(str(outcome.day), outcome.table, *figures, outcome.state)
    Console().print(grid)


def _grid(*figures: str, last: str) -> Grid:
    names = [Column(name, no_wrap=True) for name in ("day", "table")]
    return Grid(*names, *(Column(name, justify="right", no_wrap=True) for name in figures), last)


def _figure(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
