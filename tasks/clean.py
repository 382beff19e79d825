"""Task: make one day of ``clean_text``, which every text extractor reads."""

from __future__ import annotations

from datetime import date

from prefect import task

from schemas.tables import CLEAN_VALUES
from tasks.extractors import Card, Extractor, Run, Weights
from tasks.features import TableRun, make
from tasks.lake import Lake
from tasks.retry import DELAYS, RETRIES, environment_fault
from tasks.text.clean import VERSION, clean_rows


def _load(card: Card, weights: Weights | None) -> Run:
    return clean_rows


CLEANING = Extractor(
    Card(
        name="clean_text",
        version=VERSION,
        modality="raw",
        doc="the text after the cleaning rules, two ways",
        licence="Apache-2.0",
        source="the rules in tasks/text",
        columns=CLEAN_VALUES,
        batch_rows=1024,
    ),
    _load,
)
"""Cleaning is made, checked, reused and published like any extractor's table."""


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
