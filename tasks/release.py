"""Task: make a day visible to readers, once all its tables stand, or hold it for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Literal, get_args

from prefect import task

from schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from tasks.extractors import get
from tasks.extractors.registry import PCA
from tasks.features import TableRun, run_key
from tasks.lake import Lake
from tasks.lake.contents import DayContents, Reads, day_contents, vector_contents
from tasks.lake.releases import ReleasedTable, release_day
from tasks.quality.verdict import Limits
from tasks.retry import DELAYS, RETRIES, environment_fault
from tasks.verdict import held

Verdict = Literal["released", "unchanged", "held", "not released"]
"""``held``: readers keep what they had, until a person approves the day or a run mends it."""


@task(
    name="release",
    task_run_name="release {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def release(lake_uri: str, day: date, runs: Sequence[TableRun], limits: Limits | None = None) -> Verdict:
    """One row names the files of the day's tables together; a table that failed leaves the day as readers had it.

    A day beyond the limits of the quality verdict is held; what a person approved or rolled back stays as it is until
    the tables change.

    Tables that this run did not make stay released while they fit the day's reviews, and no longer.
    """
    if any(run.state == "failed" for run in runs):
        return "not released"
    lake = Lake(lake_uri)
    made = [get(run.table).card.table for run in runs if run.table != CLEAN_TEXT.name]
    new = release_day(
        lake.storage,
        day,
        [REVIEWS, ATTACHMENTS, CLEAN_TEXT, *made],
        held=partial(held, lake, day, limits or Limits()),
        carried=partial(_fits, lake, day),
    )
    if new:
        return "released" if new.visible else "held"
    stands = lake.history([day]).get(day, ())
    return "held" if stands and not stands[-1].visible else "unchanged"


def _fits(lake: Lake, day: date, table: ReleasedTable) -> bool:
    return made_of(lake, day, table) is not None


def made_of(lake: Lake, day: date, table: ReleasedTable) -> tuple[DayContents, bool] | None:
    """The contents that a table was made of, by whatever code, and whether it is whole; None if the day holds others.

    One that was made of another table's vectors fits where that one does.
    """
    if table.table.startswith(PCA):
        source = lake.table(table.table.removeprefix(PCA))
        files = lake.snapshot(source).of(day)
        if not all(_fits(lake, day, ReleasedTable(source.name, f.fingerprint, f.run_key, (f.path,))) for f in files):
            return None
        inputs = iter([vector_contents(lake.storage, source, files, day)])
    else:
        inputs = (day_contents(lake.storage, reads, day) for reads in get_args(Reads))
    for contents in inputs:
        for whole in (True, False):
            if table.run_key == run_key(table.table, day, contents.digest, str(table.fingerprint), whole=whole):
                return contents, whole
    return None
