"""Task: show what became of a source's records on its run's page in Prefect."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact

from otzyv.tasks.artifact import cell, line
from otzyv.tasks.pipeline.ingest import Accounting

KEY = "ingest"


@task(name="ingest artifact", task_run_name="ingest artifact")
def ingest_artifact(path: str, accounting: Accounting) -> None:
    """A Markdown artifact with the accounting and a row for each reason why records were refused."""
    create_markdown_artifact(markdown(path, accounting), key=KEY, description=f"Records of {path}")


def markdown(path: str, accounting: Accounting) -> str:
    """The accounting, failures first. Nothing of a record stands in it but its place."""
    lines = [f"## Records of {cell(path)}", ""]
    lines += [f"**failed**: {cell(each)}\n" for each in accounting.failures]
    counts = ("records_in", "accepted", "quarantined", "deduplicated", "suppressed")
    lines += [line(counts), line(["---"] * len(counts)), line([str(getattr(accounting, each)) for each in counts])]
    if accounting.gone is not None:
        lines += ["", f"reviews gone: {accounting.gone}, left open: {accounting.absent}"]
    if accounting.reasons:
        heads = ("refused", "reason", "for example")
        lines += ["", line(heads), line(["---"] * len(heads))]
        lines += [line([str(each.count), cell(each.reason), cell(each.example)]) for each in accounting.reasons]
    return "\n".join(lines) + "\n"
