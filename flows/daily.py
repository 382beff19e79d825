"""The daily run: yesterday's records, yesterday's features, and whatever the days before still lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime

from prefect import get_run_logger, runtime, tags

from otzyv.flows.alerts import reported, tell_held, tell_left_out, tell_missing
from otzyv.flows.allowed import check_lake
from otzyv.flows.backfill import ExtractorName
from otzyv.flows.checked import checked_flow
from otzyv.flows.days import Count, before, until
from otzyv.flows.features import DayReport, DaysFailed, features
from otzyv.flows.ingest import IngestFailed, chosen, ingest
from otzyv.flows.quality import page_of
from otzyv.flows.run_names import named, scheduled
from otzyv.flows.settings import Settings, load
from otzyv.schemas.errors import WorkFailed
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.daily_artifact import DailyCounts, daily_artifact
from otzyv.tasks.extractors import names
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.model_cache import keep_models
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import EmptyDay
from otzyv.tasks.lake.records.gone import SourceNotWhole
from otzyv.tasks.pipeline.configure import unconfigured
from otzyv.tasks.pipeline.ingest import Accounting, Source
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.overdue import overdue, since
from otzyv.tasks.pipeline.settled import unsettled
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.plan import passes, plan
from otzyv.tasks.sources import NothingThereError, SourceError, SourceFile, check_reachable, days_there, files
from otzyv.tasks.sources.web import FetchFailed
from otzyv.tasks.unvisited import unvisited

SETTLE_MOST = 600.0
"""Seconds that the daily run waits for files that are being written."""


class DailyFailed(WorkFailed):
    """Days whose tables could not all be made; the other days were.

    ``brief``: without what libraries said of them. ``cause``: what failed and lets readers see the rest (the setting
    ``partial``), whichever days it was; empty where readers lack more than that.
    """

    def __init__(
        self, not_in: Sequence[str], unusable: Mapping[str, Exception], not_made: Sequence[DaysFailed]
    ) -> None:
        runs = failed_runs(not_made)
        tables = [f"{run.table} {run.day}: {_kind(run)}" for run in runs]
        self.brief = "; ".join(
            [*not_in, *(f"{name}: {type(error).__name__}" for name, error in unusable.items()), *tables]
        )
        lacking = {report.day for each in not_made for report in each.reports if report.verdict == "not released"}
        kinds = {f"{run.table}: {_kind(run)}" for run in runs}
        kinds |= {f"{name}: {type(error).__name__}" for name, error in unusable.items()}
        self.cause = "" if not_in or lacking else "; ".join(sorted(kinds))
        said = [f"{name}: {type(error).__name__}: {error}" for name, error in unusable.items()]
        super().__init__("; ".join([*not_in, *said, *map(str, not_made)]))


def failed_runs(not_made: Sequence[DaysFailed]) -> list[TableRun]:
    return [run for each in not_made for report in each.reports for run in report.tables if run.state == "failed"]


def _kind(run: TableRun) -> str:
    return (run.error or "").partition(":")[0]


@checked_flow(name="daily", flow_run_name=named("daily", also=scheduled))
def daily(
    lake: str,
    day: date | None = None,
    extractors: list[ExtractorName] | None = None,
    catch_up: Count = 7,
) -> list[date]:
    """Bring in the day's records and make its features; returns the days that were made.

    The day is the one before the scheduled start, in the lake's time zone. Files and records that come late, or after
    a downtime, are brought in whenever they come: all days since the first daily run are looked at, and every day that
    has other reviews than it was released with is made as well, the newest first. What a person should know (it failed,
    a day is missing past its hour or held) is alerted, as `docs/operating.md` says.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        day: Instead of the day before the scheduled start.
        extractors: Tables to make; without any, those of the settings' profile.
        catch_up: How many days the first run looks at, the day itself included; every run makes again which of these
            other extractors or weights would make otherwise.
    """
    check_lake(lake)
    with reported(lake) as alerts:
        return _daily(lake, day, extractors, catch_up, alerts)


def _daily(
    lake: str, day: date | None, extractors: list[ExtractorName] | None, catch_up: int, alerts: Alerts
) -> list[date]:
    settings, opened = load(), Lake(lake)
    opened.check_sources()  # before the source makes again only what it holds of them today
    zone = opened.constants.zone
    start = runtime.flow_run.scheduled_start_time or datetime.now(UTC)
    last = day or before(start, zone)
    window = until(last, catch_up)
    ours = tags(*runtime.flow_run.tags)  # for the runs within this one
    with spending(), keep_models(), ours:  # one budget for all days, and every model once
        counts = DailyCounts()
        failed = _bring_in(lake, settings, since(opened, window), last, counts.ingested)
        tell_missing(alerts, opened, last, lambda day: _why(settings.source, day, failed))

        wanted = list(map(str, extractors or ())) or names(settings.profile)
        unusable = unconfigured(opened, wanted)
        planned = plan(
            lake,
            [name for name in wanted if name not in unusable],
            _to_make(opened, window, alerts, counts),
            span_seconds=settings.span_seconds,
        )
        made: list[DayReport] = []
        not_made: list[DaysFailed] = []
        for days, tables in passes(planned.work):
            try:
                made += features(lake, days, [*tables, *unusable])
            except DaysFailed as failure:
                made += failure.reports
                not_made.append(failure)
        page_of(lake, None, made)
    counts.verdicts |= {report.day: report.verdict for report in made}
    counts.failed = [(run.table, run.day) for run in failed_runs(not_made)]
    get_run_logger().info("daily run of %s: %s", last, counts)
    daily_artifact(last, unvisited(counts))
    alerts.figures(counts.figures)
    tell_held(alerts, opened)
    unmade = {} if planned.work else unusable  # else its runs tell, day by day
    if failed or unmade or not_made:
        raise DailyFailed(failed, unmade, not_made)
    return [work.day for work in planned.work]


def _to_make(lake: Lake, window: Sequence[date], alerts: Alerts, counts: DailyCounts) -> list[date]:
    """The window, and the days up to its end that wait to be made; those that no daily run is to make are named."""
    found = overdue(lake, window)
    tell_left_out(alerts, found.history, window[0])
    counts.left = found.history
    if older := found.history:
        get_run_logger().warning(
            "%s: the reviews of these %d days were there before the first daily run, and were never made; to make "
            "them: otzyv backfill --lake %s --from %s --to %s", spans(older), len(older), lake.uri, older[0], older[-1],
        )  # fmt: skip
    return sorted({*window, *found.days}, reverse=True)


def _bring_in(lake: str, settings: Settings, first: date, last: date, ingested: list[Accounting]) -> list[str]:
    """Ingest the source, or of a source with a file for each day those from ``first`` to ``last`` that are there.

    ``ingested``: what is added here: what became of the records.

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
        _counted(lake, source, settings, days, ingested)
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
            _counted(lake, source, settings, [day], ingested)
        except (SourceError, IngestFailed) as failure:
            failed.append(str(failure))
        except FetchFailed as failure:  # it names the host, which may be that of every day's files
            failed.append(f"{day}: {failure}")
    return failed


def _counted(
    lake: str, source: Source, settings: Settings, days: Sequence[date] | None, ingested: list[Accounting]
) -> None:
    try:
        ingested.append(ingest(lake, source, settings.key(lake), days))
    except IngestFailed as failure:
        ingested.append(failure.accounting)
        raise


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


def _why(source: str | None, day: date, failed: Sequence[str]) -> str:
    """Why a day may have no reviews: nothing was looked at, nothing has come, or what came is broken or empty.

    ``failed``: why what is there could not be brought in.
    """
    if source is None:
        return "no source is set (setting source)"
    try:
        check_reachable(source)
        if not _there(source, day):
            return f"nothing has come to {source.replace('{day}', str(day))}"
    except SourceError as failure:
        return str(failure)
    if failed:
        return next((why for why in failed if str(day) in why), failed[0])
    return f"{source.replace('{day}', str(day))} is there, and holds no review of that day"


def _there(path: str, day: date) -> bool:
    try:
        files(path, day)
    except NothingThereError:
        return False
    return True
