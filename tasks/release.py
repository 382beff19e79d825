"""Task: make a day visible to readers, once all its tables stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from prefect import task

from schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from tasks.extractors import get
from tasks.features import TableRun
from tasks.lake import Lake
from tasks.lake.releases import release_day
from tasks.retry import DELAYS, RETRIES, environment_fault

Verdict = Literal["released", "unchanged", "not released"]


@task(
    name="release",
    task_run_name="release {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def release(lake_uri: str, day: date, runs: Sequence[TableRun]) -> Verdict:
    """One row names the files of the day's tables together; a table that failed leaves the day as readers had it."""
    if any(run.state == "failed" for run in runs):
        return "not released"
    lake = Lake(lake_uri)
    made = [get(run.table).card.table for run in runs if run.table != CLEAN_TEXT.name]
    new = release_day(lake.storage, day, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, *made])
    return "released" if new else "unchanged"
