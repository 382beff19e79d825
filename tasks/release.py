"""Task: make a day visible to readers, once all its tables stand, or hold it for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Literal

from prefect import task

from schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from tasks.extractors import get
from tasks.features import TableRun
from tasks.lake import Lake
from tasks.lake.releases import MadeOf, MixedDay, release_day
from tasks.pipeline.edition import Edition
from tasks.quality.verdict import Limits
from tasks.retry import DELAYS, RETRIES, environment_fault
from tasks.verdict import held

Verdict = Literal["released", "unchanged", "held", "superseded", "not released"]
"""``held``: readers keep what they had, until a person approves the day or a run mends it. ``superseded``: its reviews
or attachments changed after some of its tables were made of them, so readers keep what they had until a run makes it.
"""


@task(
    name="release",
    task_run_name="release {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def release(lake_uri: str, day: date, runs: Sequence[TableRun], limits: Limits | None = None) -> Verdict:
    """One row names the files of the day's tables together; a table that failed leaves the day as readers had it.

    The tables must be made of the reviews and attachments that are released beside them: where an ingest changed those
    after the run had read them, the day ends as superseded. A day beyond the limits of the quality verdict is held;
    what a person approved or rolled back stays as it is until the tables change.

    Tables that this run did not make stay released while they fit the day's reviews, and no longer.
    """
    if any(run.state == "failed" for run in runs):
        return "not released"
    lake = Lake(lake_uri)
    made = [get(run.table).card.table for run in runs if run.table != CLEAN_TEXT.name]
    try:
        new = release_day(
            lake.storage,
            day,
            [REVIEWS, ATTACHMENTS, CLEAN_TEXT, *made],
            held=partial(held, lake, day, limits or Limits()),
            mixed=lambda named: Edition(lake, day, named).mixed,
            told={run.table: MadeOf(run.inputs, run.status) for run in runs if run.inputs},
        )
    except MixedDay:
        return "superseded"
    if new:
        return "released" if new.visible else "held"
    stands = lake.history([day]).get(day, ())
    return "held" if stands and not stands[-1].visible else "unchanged"
