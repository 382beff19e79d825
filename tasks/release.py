"""Task: make a day visible to readers, once all its tables stand, or hold it for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Literal

from prefect import runtime, task

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import CorruptFile
from otzyv.tasks.lake.releases import MadeOf, MixedDay, Release, release_days
from otzyv.tasks.pipeline.edition import Edition
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.pipeline.verdict import Judge
from otzyv.tasks.quality.verdict import Limits
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault

Verdict = Literal["released", "unchanged", "held", "superseded", "not released"]
"""But for ``released``, readers keep what they had. ``held``: until a person approves the day or a run fixes it.
``superseded``: its reviews or attachments changed after some of its tables were made of them, so a run is to make it.
``not released``: tables of it failed.
"""


@task(
    name="release",
    task_run_name=lambda: f"release {spans(sorted(runtime.task_run.parameters['days']))}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def release(
    lake_uri: str,
    days: Sequence[date],
    runs: Sequence[TableRun],
    limits: Limits | None = None,
    *,
    partial: bool = False,
) -> dict[date, Verdict]:
    """One row a day names the files of its tables together; a table that failed leaves its day as readers had it.

    ``partial``: the day's other tables are released nevertheless, unless it is ``clean_text`` that failed.

    The tables must be made of the reviews and attachments that are released beside them: where an ingest changed those
    after the run had read them, the day ends as superseded. A day beyond the limits of the quality verdict is held,
    as is one that a person has rolled back; what a person approved stays as it is until the tables change.

    Tables that this run did not make stay released while they fit the day's reviews, and no longer.
    """
    lake = Lake(lake_uri)
    made = {run.table: None for run in runs if run.table != CLEAN_TEXT.name}
    by_day: dict[date, dict[str, TableRun]] = {day: {} for day in days}
    for run in runs:
        by_day[run.day][run.table] = run
    told = {(run.table, run.day): MadeOf(run.inputs, run.status) for run in runs if run.inputs}

    def together(days: Sequence[date], failed: Sequence[str]) -> dict[date, Release | MixedDay | None]:
        return release_days(
            lake.storage,
            days,
            [REVIEWS, ATTACHMENTS, CLEAN_TEXT, *(get(name).card.table for name in made if name not in failed)],
            held=Judge(lake, limits or Limits(), days).held,
            mixed=lambda day, named, last: Edition(lake, day, named, by_day[day], last).mixed,
            told=told,
            note=f"failed: {', '.join(failed)}" if failed else None,
        )

    ended: dict[date, Release | MixedDay | None] = {}
    for failed, alike in _alike(days, runs):
        if failed and (not partial or CLEAN_TEXT.name in failed):
            continue
        try:
            ended |= together(alike, failed)
        except CorruptFile:
            for day in alike if len(alike) > 1 else ():  # a day with a damaged file keeps no other from its readers
                with suppress(CorruptFile):
                    together([day], failed)
            raise
    stand = lake.history([day for day, new in ended.items() if new is None])
    return {day: _verdict(ended[day], stand.get(day, ())) if day in ended else "not released" for day in days}


def _alike(days: Sequence[date], runs: Sequence[TableRun]) -> list[tuple[tuple[str, ...], list[date]]]:
    """The days by which tables of theirs failed, those of which none did first."""
    failed: dict[date, list[str]] = {day: [] for day in days}
    for run in runs:
        if run.state == "failed":
            failed[run.day].append(run.table)
    found: dict[tuple[str, ...], list[date]] = {}
    for day, tables in failed.items():
        found.setdefault(tuple(sorted(tables)), []).append(day)
    return sorted(found.items())


def _verdict(ended: Release | MixedDay | None, stands: Sequence[Release]) -> Verdict:
    if isinstance(ended, MixedDay):
        return "superseded"
    if ended:
        return "released" if ended.visible else "held"
    return "held" if stands and not stands[-1].visible else "unchanged"
