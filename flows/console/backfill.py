"""What people and programs see of plans and backfills on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich import box
from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.backfill import BackfillReport
from otzyv.flows.console.report import held_notes
from otzyv.flows.console.screen import fits, screen
from otzyv.tasks.plan import Plan

_FIGURES = ("new", "changed", "reused", "gone")


def plan_as_object(plan: Plan) -> dict[str, Any]:
    """A plan as the JSON object that ``--json`` prints; seconds and money are null where they are not known."""
    return {
        "what": plan.what,
        "days": [
            {
                "day": day.day,
                "released": day.released and day.held is None,
                "held": day.held,
                "work": day.work,
                "tables": [
                    {**asdict(table), "computed": table.computed, "missing_weights": plan.without_weights(table)}
                    for table in day.tables
                ],
            }
            for day in plan.days
        ],
        "missing": plan.missing,
        "missing_weights": dict(plan.missing_weights),
        "seconds": plan.seconds,
        "money": plan.money,
        "digest": plan.digest,
    }


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """A row for each table of each day that has something to do, and the sum.

    Standard error names days and weights that are not there, and days that stay held.
    """
    _note(plan)
    if as_json:
        click.echo(json.dumps(plan_as_object(plan), ensure_ascii=False, default=str))
        return
    paid = plan.money != 0.0
    costs = {"seconds": 1, "money": 2} if paid else {"seconds": 1}  # with so many digits
    rows = []
    for day in plan.work:
        tables = [table for table in day.tables if table.why]
        for table in tables:
            figures = {name: str(getattr(table, name)) for name in _FIGURES}
            figures |= {name: _figure(getattr(table, name), digits) for name, digits in costs.items()}
            rows.append({"day": str(day.day), "table": table.table, **figures, "why": plan.reasons(table)})
        if not tables:
            blank = dict.fromkeys(("table", *_FIGURES, *costs), "")
            rows.append({"day": str(day.day), **blank, "why": "to be released"})
    _show(rows)
    cost = f"{_figure(plan.seconds, 1)} s" + (f", money {_figure(plan.money, 2)}" if paid else "")
    click.echo(plan.in_words + (f": {cost}" if plan.work else ""))


def show_backfill(report: BackfillReport, *, as_json: bool) -> None:
    """The plan, then how each of its tables ended."""
    if as_json:
        _note(report.plan)
        _tell_held(report)
        said = {
            "plan": plan_as_object(report.plan),
            "outcomes": [asdict(outcome) for outcome in report.outcomes],
            "left": report.left,
            "left_because": report.left_because or None,
            "held": [{"day": day, "reason": reason} for day, reason in sorted(report.held.items())],
            "dry_run": report.dry_run,
        }
        click.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    show_plan(report.plan, as_json=False)
    if report.dry_run or not report.plan.work:
        return
    _show(
        [
            {
                "day": str(outcome.day),
                "table": outcome.table,
                "computed": str(outcome.computed),
                "reused": str(outcome.reused),
                "seconds": f"{outcome.seconds:.1f}",
                "outcome": outcome.state,
            }
            for outcome in report.outcomes
        ]
    )
    _tell_held(report)


def _note(plan: Plan) -> None:
    staying = {day.day: day.held for day in plan.days if day.held and not day.work}
    for note in (*plan.notes, *held_notes(plan.lake, staying)):
        click.echo(note, err=True)


def _tell_held(report: BackfillReport) -> None:
    """Of the days that had something to do; the others were told with the plan."""
    done = {day.day for day in report.plan.work} - {*report.left}
    for note in held_notes(report.plan.lake, {day: why for day, why in report.held.items() if day in done}):
        click.echo(note, err=True)


def _show(rows: Sequence[Mapping[str, str]]) -> None:
    """A table, its figures between the table's name and the last column; a line for each row where it does not fit."""
    if not rows:
        return
    names = list(rows[0])
    figures = (Column(name, justify="right") for name in names[2:-1])
    grid = Grid(*names[:2], *figures, names[-1], box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        grid.add_row(*row.values())
    console = screen()
    if fits(grid, console):
        console.print(grid)
        return
    for row in rows:
        day, table, *said = row.values()
        named = ", ".join(f"{name} {value}" for name, value in zip(names[2:], said, strict=True) if value)
        click.echo(f"{day} {table}: {named}" if table else f"{day}: {named}")


def _figure(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
