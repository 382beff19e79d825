"""Task: bring the records of a source into the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import task

from otzyv.tasks.pipeline import ingest as pipeline
from otzyv.tasks.pipeline.ingest import Accounting, Source
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault
from otzyv.tasks.sources.web import Web


@task(
    name="ingest",
    task_run_name="ingest {source.path}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def ingest(
    lake_uri: str, source: Source, author_key: str, days: Sequence[date] | None = None, *, web: Web | None = None
) -> Accounting:
    """``pipeline.ingest``, tried again where the environment failed."""
    return pipeline.ingest(lake_uri, source, author_key, days, web=web)
