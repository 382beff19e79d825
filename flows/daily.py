"""The daily run: yesterday's records, yesterday's features, and whatever the days before still lack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime

from prefect import flow, get_run_logger, runtime, tags

from otzyv.flows.allowed import check_lake
from otzyv.flows.backfill import ExtractorName
from otzyv.flows.days import Count, before, until
from otzyv.flows.features import DayReport, DaysFailed, features
from otzyv.flows.ingest import IngestFailed, chosen, ingest
from otzyv.flows.quality import page_of
from otzyv.flows.run_names import named, scheduled
from otzyv.flows.settings import Settings, load
from otzyv.schemas.errors import WorkFailed
from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.extractors import names
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.model_cache import keep_models
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import EmptyDay
from otzyv.tasks.lake.records.gone import SourceNotWhole
from otzyv.tasks.missing_day import missing_day
from otzyv.tasks.pipeline.configure import unconfigured
from otzyv.tasks.pipeline.overdue import overdue, since
from otzyv.tasks.pipeline.settled import unsettled
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.plan import passes, plan
from otzyv.tasks.sources import NothingThereError, SourceError, SourceFile, check_reachable, days_there, files
from otzyv.tasks.sources.web import FetchFailed

SETTLE_MOST = 600.0
"""Seconds that the daily run waits for files that are being written."""


class DailyFailed(WorkFailed):
    """Days whose tables could not all be made; the other days were."""


@flow(name="daily", flow_run_name=named("daily", also=scheduled))
def daily(
    lake: str,
    day: date | None = None,
    extractors: list[ExtractorName] | None = None,
    catch_up: Count = 7,
) -> list[date]:
    """Bring in the day's records and make its features; returns the days that were made.

    The day is the one before the scheduled start, in the lake's time zone. Files and records that come late, or after
    a downtime, are brought in whenever they come: all days since the first daily run are looked at, and every day that
    has other reviews than it was released with is made as well, the newest first. A day without any review past its
    hour raises the event `otzyv.day.missing`, and calls the webhook of the settings.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        day: Instead of the day before the scheduled start.
        extractors: Tables to make; without any, those of the settings' profile.
        catch_up: How many days the first run looks at, the day itself included; every run makes again which of these
            other extractors or weights would make otherwise.
    """
    check_lake(lake)
    settings, opened = load(), Lake(lake)
    opened.check_sources()  # before the source makes again only what it holds of them today
    zone = opened.constants.zone
    start = runtime.flow_run.scheduled_start_time or datetime.now(UTC)
    last = day or before(start, zone)
    window = until(last, catch_up)
    ours = tags(*runtime.flow_run.tags)  # for the runs within this one
    with spending(), keep_models(), ours:  # one budget for all days, and every model once
        failed = _bring_in(lake, settings, since(opened, window), last)
        if last not in opened.snapshot(REVIEWS).days:
            missing_day(lake, last, settings.webhook, _why(settings.source, last))

        wanted = list(map(str, extractors or ())) or names(settings.profile)
        unusable = unconfigured(opened, wanted)
        planned = plan(
            lake,
            [name for name in wanted if name not in unusable],
            _to_make(opened, window),
            span_seconds=settings.span_seconds,
        )
        if not planned.work:
            failed += [f"{name}: {type(error).__name__}: {error}" for name, error in unusable.items()]
        made: list[DayReport] = []
        for days, tables in passes(planned.work):
            try:
                made += features(lake, days, [*tables, *unusable])
            except DaysFailed as failure:
                made += failure.reports
                failed.append(str(failure))
        page_of(lake, None, made)
    if failed:
        raise DailyFailed("; ".join(failed))
    return [work.day for work in planned.work]


def _to_make(lake: Lake, window: Sequence[date]) -> list[date]:
    """The window, and the days up to its end that wait to be made; those that no daily run is to make are named."""
    found = overdue(lake, window)
    if older := found.history:
        get_run_logger().warning(
            "%s: the reviews of these %d days were there before the first daily run, and were never made; to make "
            "them: otzyv backfill --lake %s --from %s --to %s", spans(older), len(older), lake.uri, older[0], older[-1],
        )  # fmt: skip
    return sorted({*window, *found.days}, reverse=True)


def _bring_in(lake: str, settings: Settings, first: date, last: date) -> list[str]:
    """Ingest the source, or of a source with a file for each day those from ``first`` to ``last`` that are there.

    Returns what is wrong with days that can't be brought in, which must not keep the others from being made.
    """
    if settings.source is None:
        return []
    source = chosen(settings.source, settings)
    days: Sequence[date] | None = None
    try:
        check_reachable(source.path)
        if "{day}" in source.path:
            days = sorted((day for day in days_there(source.path) if first <= day <= last), reverse=True)
    except SourceError as failure:
        return [str(failure)]
    growing, days = _still_written(source.path, days, settings.settle_seconds)
    if (days is not None and not days) or (growing and (days is None or source.mode == "snapshot")):
        return growing
    try:
        ingest(lake, source, settings.key(lake), days)
        return growing
    except (IngestFailed, SourceNotWhole) as failure:
        return [*growing, str(failure)]
    except (SourceError, EmptyDay, FetchFailed) as failure:
        if days is None and not isinstance(failure, FetchFailed):
            raise
        # Of a snapshot nobody can tell what has gone, or to which day, while one of its files can't be read.
        if days is None or source.mode == "snapshot":
            return [*growing, str(failure)]
    failed = growing
    for day in days:
        try:
            ingest(lake, source, settings.key(lake), [day])
        except (SourceError, IngestFailed) as failure:
            failed.append(str(failure))
        except FetchFailed as failure:  # it names the host, which may be that of every day's files
            failed.append(f"{day}: {failure}")
    return failed


def _still_written(path: str, days: Sequence[date] | None, seconds: float) -> tuple[list[str], Sequence[date] | None]:
    """Wait for files that are still being written: what to say of those that go on changing, and the days of others."""
    of_day: dict[SourceFile, date | None] = {}
    looked_at: Sequence[date | None] = [None] if days is None else days
    for day in looked_at:
        with suppress(SourceError):  # the ingest tells
            of_day |= dict.fromkeys(files(path, day), day)
    growing = unsettled(list(of_day), seconds, SETTLE_MOST)
    said = [
        f"{file.name} is still being written after {SETTLE_MOST / 60:.0f} minutes: it is left to the next run"
        for file in growing
    ]
    return said, days if days is None else [day for day in days if day not in {of_day[file] for file in growing}]


def _why(source: str | None, day: date) -> str:
    """Why a day may have no reviews: nothing was looked at, nothing has come, or what came is empty."""
    if source is None:
        return "no source is set (setting source)"
    try:
        check_reachable(source)
        if not _there(source, day):
            return f"nothing has come to {source.replace('{day}', str(day))}"
    except SourceError as failure:
        return str(failure)
    return f"{source.replace('{day}', str(day))} is there, and holds no review of that day"


def _there(path: str, day: date) -> bool:
    try:
        files(path, day)
    except NothingThereError:
        return False
    return True
