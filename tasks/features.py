"""Tasks: make days of ``clean_text``, and of the table of a registered extractor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import runtime, task

from otzyv.schemas.errors import WorkFailed
from otzyv.tasks.extractors import Extractor, get
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import TableRun, failed, make_days
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault


class TablesFailed(WorkFailed):
    """Days of a table that could not be made; ``runs`` tells of each day of the pass how it ended."""

    def __init__(self, runs: Sequence[TableRun]) -> None:
        self.runs = tuple(runs)
        super().__init__("; ".join(f"{run.table} {run.day}: {run.error}" for run in runs if run.state == "failed"))


def _named() -> str:
    given = runtime.task_run.parameters
    return f"{given.get('name', CLEANING.card.name)} {spans(given['days'])}"


@task(
    name="clean_text",
    task_run_name=_named,
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def clean_text(lake_uri: str, days: Sequence[date], *, again: bool = False) -> list[TableRun]:
    """Clean the texts of days that are new or changed. Raises TablesFailed where a day could not be made."""
    return _made(lake_uri, CLEANING, days, again=again)


@task(
    name="features",
    task_run_name=_named,
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def features(lake_uri: str, name: str, days: Sequence[date], *, again: bool = False) -> list[TableRun]:
    """Make days of the table of a registered extractor. Raises TablesFailed where a day could not be made."""
    return _made(lake_uri, get(name), days, again=again)


def _made(lake_uri: str, extractor: Extractor, days: Sequence[date], *, again: bool) -> list[TableRun]:
    ended = make_days(Lake(lake_uri), extractor, days, again=again)
    runs = [
        each if isinstance(each, TableRun) else failed(extractor.card.name, day, each)
        for day, each in zip(days, ended, strict=True)
    ]
    if any(run.state == "failed" for run in runs):
        raise TablesFailed(runs)
    return runs
