"""The main job: ingest, then the features of each day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from flows import prefect_server
from flows.features import DayReport, features
from flows.ingest import ingest
from schemas.tables import REVIEWS
from tasks.ingest import Accounting, Source
from tasks.lake import Lake
from tasks.lake.constants import Constants
from tasks.quality_page import quality_page
from tasks.sources import files


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a whole run did. ``accounting`` is None where nothing was ingested; ``page`` is the quality page's place."""

    lake: str
    accounting: Accounting | None
    days: tuple[DayReport, ...]
    page: str | None
    seconds: float
    server_seconds: float

    @property
    def failed(self) -> tuple[str, ...]:
        """What failed, as ``table day: error``."""
        return tuple(
            f"{run.table} {run.day}: {run.error}" for day in self.days for run in day.tables if run.state == "failed"
        )

    @property
    def changed(self) -> bool:
        return any(run.state != "unchanged" for day in self.days for run in day.tables)


def run(
    lake: str,
    extractors: Sequence[str] | None,
    *,
    source: Source | None = None,
    days: Sequence[date] | None = None,
    constants: Constants | None = None,
    author_key: str = "",
) -> RunReport:
    """Ingest the source if there is one, then make the days' features; without days, all that the source touches.

    Extractors None: ingest alone.     A lake is made where there is none and a source is given.
    """
    server_seconds = prefect_server.start()
    clock = time.perf_counter()
    accounting = None
    if source is not None:
        files(source.path, days[0] if days and "{day}" in source.path else None)  # a wrong path makes no lake
        Lake.create(lake, constants).constants.check_author_key(author_key)
        accounting = ingest(lake, source, author_key, days)
    wanted = days if days is not None else accounting.days if accounting else Lake(lake).snapshot(REVIEWS).days
    reports = tuple(features(lake, day, extractors) for day in wanted) if extractors is not None else ()
    page = quality_page(
        lake, accounting, {day.day: day.verdict for day in reports}, [run for day in reports for run in day.tables]
    )
    return RunReport(lake, accounting, reports, page, time.perf_counter() - clock, server_seconds)
