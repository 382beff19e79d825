"""Task: show how a day's tables ended on its run's page in Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.features import TableRun

_HEADS = ("table", "state", "rows", "computed", "reused", "invalid", "seconds", "status", "error")


@task(name="artifact", task_run_name="artifact {day}")
def artifact(day: date, runs: Sequence[TableRun]) -> None:
    """A Markdown artifact with a row per table; its key names the day, so that Prefect keeps the day's history."""
    create_markdown_artifact(markdown(day, runs), key=f"features-{day}", description=f"Tables of {day}")


def markdown(day: date, runs: Sequence[TableRun]) -> str:
    """The table of a day's run. Errors can't break out of their cell."""
    lines = [f"## Features of {day}", "", line(_HEADS), line(["---"] * len(_HEADS))]
    for run in runs:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(run.status.items()))
        figures = [str(figure) for figure in (run.rows, run.computed, run.reused, run.invalid)]
        lines.append(line([run.table, run.state, *figures, f"{run.seconds:.1f}", statuses, cell(run.error or "")]))
    return "\n".join(lines) + "\n"


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """A text that can't break out of its cell."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]<>|" else char for char in " ".join(text.split()))
