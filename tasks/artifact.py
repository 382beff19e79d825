"""Task: show on a run's page in Prefect how the tables of its days ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

import pyarrow.compute as pc
from prefect import runtime, task
from prefect.artifacts import create_markdown_artifact

from otzyv.schemas.tables import ATTACHMENTS, WHY
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import read_table
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.unvisited import visited

_HEADS = ("day", "table", "state", "rows", "computed", "reused", "invalid", "seconds", "status", "error")


@task(
    name="artifact",
    task_run_name=lambda: f"artifact {spans(_days(visited(runtime.task_run.parameters['runs'])))}",
)
def artifact(runs: Sequence[TableRun], lake_uri: str) -> None:
    """A Markdown artifact with a row per table and day; its key names the first day: Prefect keeps its history."""
    days = _days(runs)
    create_markdown_artifact(
        markdown(runs, _not_taken(Lake(lake_uri), days)),
        key=f"features-{days[0]}",
        description=f"Tables of {spans(days)}",
    )


def _not_taken(lake: Lake, days: Sequence[date]) -> Counter[str]:
    """Why attached files of days were not taken, as ``kind, status: reason``, and how many."""
    snapshot = lake.snapshot(ATTACHMENTS)
    rows = read_table(
        lake.storage, ATTACHMENTS, [file for day in days for file in snapshot.of(day)], ["kind", "status", "reason"]
    )
    refused = rows.filter(pc.is_valid(rows["reason"])).to_pylist()
    return Counter(f"{row['kind']}, {row['status']}: {row['reason']}" for row in refused)


def markdown(runs: Sequence[TableRun], not_taken: Mapping[str, int] = MappingProxyType({})) -> str:
    """The tables of a run, why rows of theirs are not ok, and attached files that were ``not_taken``.

    Errors can't break out of their cell.
    """
    title = spans(_days(runs))
    lines = [f"## Features of {title}", "", line(_HEADS), line(["---"] * len(_HEADS))]
    for run in runs:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(run.status.items()))
        figures = [str(figure) for figure in (run.rows, run.computed, run.reused, run.invalid)]
        lines.append(
            line([str(run.day), run.table, run.state, *figures, f"{run.seconds:.1f}", statuses, cell(run.error or "")])
        )
    if said := sorted({status for run in runs for status in run.status if status in WHY}):
        lines += ["", f"What statuses mean: {'; '.join(f'{status}: {WHY[status]}' for status in said)}."]
    if not_taken:
        told = [f"- {count} {cell(why)}" for why, count in sorted(not_taken.items())]
        lines += ["", "Attached files that were not taken:", "", *told]
    return "\n".join(lines) + "\n"


def _days(runs: Sequence[TableRun]) -> list[date]:
    return sorted({run.day for run in runs})


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """A text that can't break out of its cell."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]<>|" else char for char in " ".join(text.split()))
