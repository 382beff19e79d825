"""Task: make one day of ``clean_text``, which every text extractor reads."""

from __future__ import annotations

from datetime import date

from prefect import task

from tasks.features import TableRun, make
from tasks.lake import Lake
from tasks.pipeline.cleaning import CLEANING
from tasks.retry import DELAYS, RETRIES, environment_fault


@task(
    name="clean_text",
    task_run_name="clean_text {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def clean_text(lake_uri: str, day: date, *, again: bool = False) -> TableRun:
    """Clean the texts of a day that are new or changed."""
    return make(Lake(lake_uri), CLEANING, day, again=again)
