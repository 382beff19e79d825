"""What a backfill shows on its page in Prefect: its plan, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from prefect import task
from prefect.artifacts import create_table_artifact

from otzyv.tasks.artifact import cell, line
from otzyv.tasks.backfill_grid import ui
from otzyv.tasks.outcomes import Outcome
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.plan import Plan, TablePlan

MOST_ROWS = 1000
"""A page with more rows is of no use to anybody; the last one then tells how many more there are."""


@task(name="show plan", task_run_name="show plan")
def show_plan(plan: Plan) -> None:
    """A row for each table of each day that has something to do, and their sum."""
    tables = [table for day in plan.work for table in day.tables if table.why]
    rows = [_planned(table, plan.reasons(table)) for table in tables[:MOST_ROWS]]
    if len(tables) > MOST_ROWS:
        rows.append({"day": f"and {len(tables) - MOST_ROWS} more"})
    create_table_artifact(table=[*rows, _total(plan)], key="backfill-plan", description=_said(plan))


def result(outcomes: Sequence[Outcome], held: Mapping[date, str], left: Sequence[date] = (), because: str = "") -> str:
    """What is left, and why; a row for each table of each day: how it ended, what it cost, and the run that made it;
    then the days that wait for a person, and why.
    """
    # The link stands before the figures: on a narrow page, Prefect's side panel covers what lies to the right.
    heads = ("day", "table", "link", "computed", "reused", "seconds", "money", "outcome")
    lines = [f"**{len(left)} days are left**, as {cell(because)}: {spans(left)}", ""] if left else []
    lines += [line(heads), line(["---"] * len(heads)), *map(_ended, outcomes[:MOST_ROWS])]
    if len(outcomes) > MOST_ROWS:
        lines += ["", f"and {len(outcomes) - MOST_ROWS} more"]
    if held:
        lines += ["", f"Held until somebody approves them, readers keep what they had ({len(held)} days):", ""]
        lines += [f"- {day}: {cell(why)}" for day, why in sorted(held.items())[:MOST_ROWS]]
    return "\n".join(lines)  # Markdown, since a table's cells hold no links


def _ended(outcome: Outcome) -> str:
    said = outcome.state if outcome.error is None else f"{outcome.state}: {cell(outcome.error)}"
    figures = [str(outcome.computed), str(outcome.reused), f"{outcome.seconds:.1f}", f"{outcome.money:g}"]
    return line([str(outcome.day), outcome.table, _link(outcome), *figures, said])


def _planned(table: TablePlan, why: str) -> dict[str, object]:
    return {
        "day": str(table.day),
        "table": table.table,
        "new": table.new,
        "changed": table.changed,
        "reused": table.reused,
        "gone": table.gone,
        "why": why,
        "seconds": _figure(table.seconds, 1),
        "money": _figure(table.money, 4),
    }


def _total(plan: Plan) -> dict[str, object]:
    tables = [table for day in plan.work for table in day.tables]
    summed = {name: sum(getattr(table, name) for table in tables) for name in ("new", "changed", "reused", "gone")}
    return {"day": "all", "table": "", **summed, "why": "", "seconds": _figure(plan.seconds, 1),
            "money": _figure(plan.money, 4)}  # fmt: skip


def _said(plan: Plan) -> str:
    released = sum(not any(table.why for table in day.tables) for day in plan.work)
    return "; ".join(
        [plan.in_words, *([f"{released} of them are only to be released"] if released else []), *plan.notes]
    )


def _figure(value: float | None, digits: int) -> object:
    return "unknown" if value is None else round(value, digits)


def _link(outcome: Outcome) -> str:
    if outcome.flow_run is None:
        return ""
    return f"[run]({ui()}/runs/flow-run/{outcome.flow_run})"
