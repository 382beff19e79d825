"""Task: show on a run's page in Prefect how the tables of its days ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import runtime, task
from prefect.artifacts import create_markdown_artifact

from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.unvisited import visited

_HEADS = ("day", "table", "state", "rows", "computed", "reused", "invalid", "seconds", "status", "error")


@task(
    name="artifact",
    task_run_name=lambda: f"artifact {spans(_days(visited(runtime.task_run.parameters['runs'])))}",
)
def artifact(runs: Sequence[TableRun]) -> None:
    """A Markdown artifact with a row per table and day; its key names the first day: Prefect keeps its history."""
    days = _days(runs)
    create_markdown_artifact(markdown(runs), key=f"features-{days[0]}", description=f"Tables of {spans(days)}")


def markdown(runs: Sequence[TableRun]) -> str:
    """The tables of a run. Errors can't break out of their cell."""
    title = spans(_days(runs))
    lines = [f"## Features of {title}", "", line(_HEADS), line(["---"] * len(_HEADS))]
    for run in runs:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(run.status.items()))
        figures = [str(figure) for figure in (run.rows, run.computed, run.reused, run.invalid)]
        lines.append(
            line([str(run.day), run.table, run.state, *figures, f"{run.seconds:.1f}", statuses, cell(run.error or "")])
        )
    return "\n".join(lines) + "\n"


def _days(runs: Sequence[TableRun]) -> list[date]:
    return sorted({run.day for run in runs})


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """A text that can't break out of its cell."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]<>|" else char for char in " ".join(text.split()))
