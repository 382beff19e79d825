"""The main job: ingest, then the features of each day."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import SecretStr

from otzyv.flows.features import DayReport, DaysFailed, features
from otzyv.flows.ingest import IngestFailed, ingest
from otzyv.flows.quality import page_of
from otzyv.flows.server import prefect_server
from otzyv.flows.server.prefect_server import OnDemand
from otzyv.flows.settings import load
from otzyv.schemas.tables import CLEAN_TEXT, REVIEWS, RUNS
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.model_cache import keep_models
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.models.store import WeightsError
from otzyv.tasks.pipeline.ingest import Accounting, Source, check_source, nothing_new
from otzyv.tasks.pipeline.inventory import Inventory
from otzyv.tasks.pipeline.make import unchanged
from otzyv.tasks.pipeline.rates import FIGURES, rates


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a whole run did. ``accounting`` is None where nothing was ingested; ``page`` is the quality page's place.

    ``server_seconds``: what starting Prefect's server took; None where there was nothing to do that it is needed for.
    ``empty``: days that were asked for and have no reviews; ``known``: the days that have.
    """

    lake: str
    accounting: Accounting | None
    days: tuple[DayReport, ...]
    page: str | None
    seconds: float
    server_seconds: float | None
    empty: tuple[date, ...] = ()
    known: tuple[date, ...] = ()

    @property
    def waiting(self) -> int:
        """How many days of the source lie in the lake whose features this run was not asked for."""
        if self.accounting is None or not self.days:
            return 0
        return len(set(self.accounting.days) & set(self.known) - {day.day for day in self.days})

    @property
    def failed(self) -> tuple[str, ...]:
        """What failed, as ``ingest: why`` and ``table day: error``."""
        ingested = self.accounting.failures if self.accounting else ()
        runs = [run for day in self.days for run in day.tables if run.state == "failed"]
        return *(f"ingest: {why}" for why in ingested), *(f"{run.table} {run.day}: {run.error}" for run in runs)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        counted = self.accounting
        brought = counted is not None and bool(counted.accepted or counted.newly_quarantined or counted.changed_days)
        return brought or any(run.state != "unchanged" for day in self.days for run in day.tables)


def run(
    lake: str,
    extractors: Sequence[str] | None,
    *,
    source: Source | None = None,
    days: Sequence[date] | None = None,
    constants: Mapping[str, Any] | None = None,
    author_key: SecretStr | None = None,
) -> RunReport:
    """Ingest the source if there is one, then make the days' features; without days, all that the source touches.

    Extractors None: ingest alone. A lake is made where there is none and a source is given; ``constants`` (timezone,
    precision) are then fixed, and must be the lake's own where there is one. A source needs the author key.
    """
    if source is not None:
        check_source(source, days)  # a wrong path, or what can't be read, makes no lake
    whose = author_key if source else None
    uri = open_lake(lake, constants or {}, whose)  # in Prefect it is known by its whole address
    clock = time.perf_counter()
    accounting = None
    with prefect_server.on_demand() as server, spending(), keep_models():
        if source is not None and author_key is not None:
            accounting = _ingested(uri, source, author_key, days, server)
        known = Lake(lake).snapshot(REVIEWS).days
        wanted = days if days is not None else accounting.days if accounting else known
        reports = _made(uri, wanted, extractors, server) if extractors is not None else ()
        page = page_of(lake, accounting, reports)
    empty = tuple(day for day in days or () if day not in known)
    seconds = time.perf_counter() - clock - (server.seconds or 0)
    return RunReport(lake, accounting, reports, page, seconds, server.seconds, empty=empty, known=known)


def open_lake(uri: str, constants: Mapping[str, Any], author_key: SecretStr | None) -> str:
    """Make the lake if there is none and records are to come in; refuse settings that are not the lake's.

    Returns its whole address. ``author_key``: of whoever brings records in.
    """
    if author_key is None:
        opened = Lake(uri)
        opened.constants.check(constants)
        opened.check_sources()
        return opened.uri
    key = author_key.get_secret_value()
    lake = Lake.create(uri, LakeConfig(**constants, author_key_check=key_check(key)))
    lake.constants.check(constants)
    lake.constants.check_author_key(key)
    return lake.uri


def _ingested(
    lake: str, source: Source, author_key: SecretStr, days: Sequence[date] | None, server: OnDemand
) -> Accounting:
    """A flow run is started unless the source is known to hold nothing new."""
    with suppress(OSError):  # the flow tries again, and tells of it
        if accounting := nothing_new(lake, source, days):
            return accounting
    server.need()
    try:
        return ingest(lake, source, author_key, days)
    except IngestFailed as failure:  # what was accepted is in, and its features are made
        return failure.accounting


def _made(lake: str, days: Sequence[date], extractors: Sequence[str], server: OnDemand) -> tuple[DayReport, ...]:
    """How each day ended. A flow run is started for each span of those in which there is something to do."""
    opened = Lake(lake)
    there = _inventory(opened, extractors)
    tables = (REVIEWS, CLEAN_TEXT, *(get(name).card.table for name in extractors))
    known = {day for table in tables for day in opened.snapshot(table).days} | {*opened.releases()}
    reports = {day: DayReport(day, (), "unchanged") for day in days}  # of nothing, neither now nor before
    left = []
    for day in (day for day in days if day in known):
        if there and not there.held(day) and (stands := there.unchanged(day)):
            reports[day] = DayReport(day, tuple(unchanged(each, day) for each in stands), "unchanged")
        else:
            left.append(day)
    spans = [left]
    if there and left:
        spans = there.spans(left, rates(opened.read(RUNS, columns=["table", *FIGURES])), load().span_seconds)
    if left:
        server.need()
    for span in spans:
        reports |= {report.day: report for report in _features(lake, span, extractors)}
    return tuple(reports[day] for day in days)


def _inventory(lake: Lake, extractors: Sequence[str]) -> Inventory | None:
    """What stands in the lake; None where an extractor can't run in it, as its table is to say for itself."""
    try:
        return Inventory(lake, extractors)
    except (LookupError, OSError, WeightsError):
        return None


def _features(lake: str, days: Sequence[date], extractors: Sequence[str]) -> Sequence[DayReport]:
    try:
        return features(lake, days, extractors) if days else ()
    except DaysFailed as failure:  # the other days go on
        return failure.reports
