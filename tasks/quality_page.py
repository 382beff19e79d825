"""Tasks: the quality page of a run or of a range of days, one self-contained HTML file in the lake."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from otzyv.schemas.errors import NotFound
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, QUALITY, QUARANTINE, RUNS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import read_table
from otzyv.tasks.lake.delta.storage import PAGES
from otzyv.tasks.lake.releases import Release
from otzyv.tasks.pipeline.ingest import Accounting
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.verdict import definition
from otzyv.tasks.quality.pages import (
    Chart,
    Page,
    TableLine,
    histogram_chart,
    label_chart,
    reason_chart,
    refused_chart,
    render,
    status_chart,
)
from otzyv.tasks.release import Verdict


def newest_page(lake_uri: str) -> str | None:
    """The newest page there is; None without any."""
    storage = Lake(lake_uri).storage
    pages = storage.files(PAGES)
    return storage.at(pages[-1]) if pages else None


@task(name="quality page")
def quality_page(
    lake_uri: str, accounting: Accounting | None, days: Mapping[date, Verdict], runs: Sequence[TableRun]
) -> str:
    """Write the page of a run."""
    lake = Lake(lake_uri)
    made_at = datetime.now(UTC)
    lines = [_line(run) for run in runs]
    charts = _charts(_measured(lake, sorted(days)), dict.fromkeys(run.table for run in reversed(runs)))
    page = Page(
        lake=lake.uri,
        made_at=made_at,
        accounting={k: v for k, v in asdict(accounting).items() if isinstance(v, int)} if accounting else None,
        days=sorted(days.items()),
        lines=lines,
        charts=[status_chart(lines), _not_taken(lake, days), _refused(lake, made_at), *charts],
        held=_held(lake.history(sorted(days))),
    )
    return _write(lake, page)


@task(name="quality page of days")
def quality_page_of_days(lake_uri: str, first: date | None = None, last: date | None = None) -> str:
    """Write the page of a range of days, both ends in it, from the tables ``quality``, ``runs`` and ``releases`` alone.

    A table of a day is shown as its newest attempt left it. Raises LookupError where no run has made any of the days.
    """
    lake = Lake(lake_uri)
    low, high = first or date.min, last or date.max
    newest: dict[tuple[date, str], Mapping[str, Any]] = {}
    for row in lake.read(RUNS).sort_by("started_at").to_pylist():
        if low <= row["day"] <= high:
            newest[row["day"], row["table"]] = row
    if not newest:
        if first and last:
            asked = first if first == last else f"a day from {first} to {last}"
            there = f"`otzyv releases --lake {lake.uri}` lists the days that are made"
        else:
            asked, there = "a day", f"`otzyv features --lake {lake.uri}` makes them"
        raise NotFound(f"no run has made {asked} in {lake.uri}; {there}")
    days = sorted({day for day, _ in newest})
    measured = _measured(lake, days)
    lines = [_line_of(row, _metrics(measured[day], table)) for (day, table), row in sorted(newest.items())]
    history = lake.history(days)
    charts = _charts(measured, dict.fromkeys(line.table for line in reversed(lines)))
    page = Page(
        lake=lake.uri,
        made_at=datetime.now(UTC),
        accounting=None,
        days=[(day, _state(history.get(day, ()))) for day in days],
        lines=lines,
        charts=[status_chart(lines), _not_taken(lake, days), *charts],
        held=_held(history),
        title=f"Quality of {days[0]} to {days[-1]}" if len(days) > 1 else f"Quality of {days[0]}",
    )
    return _write(lake, page)


def _write(lake: Lake, page: Page) -> str:
    path = f"{PAGES}/{page.made_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.html"
    lake.storage.write(path, render(page).encode())
    return lake.storage.at(path)


def _held(history: Mapping[date, Sequence[Release]]) -> list[tuple[date, str]]:
    """Days that wait for a person, and why."""
    return [(day, known[-1].reason or "") for day, known in history.items() if not known[-1].visible]


def _state(known: Sequence[Release]) -> str:
    """What readers see of a day: the verdict of its newest release."""
    return known[-1].verdict if known else "not released"


def _line_of(row: Mapping[str, Any], metrics: Mapping[str, float]) -> TableLine:
    """A row of ``runs`` with the figures of ``quality``."""
    figures = {
        name: row[name] for name in ("table", "day", "state", "rows", "computed", "reused", "invalid", "seconds")
    }
    return TableLine(
        **figures,
        status={label: int(count) for label, count in _under("status.", metrics)},
        checks_passed=int(metrics.get("checks.passed", 0)),
        checks_failed=[name for name, _ in _under("checks.failed.", metrics)],
        error=row["error"],
    )


def _under(prefix: str, metrics: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    return ((name.removeprefix(prefix), value) for name, value in metrics.items() if name.startswith(prefix))


def _line(run: TableRun) -> TableLine:
    return TableLine(
        table=run.table, day=run.day, state=run.state, rows=run.rows, computed=run.computed, reused=run.reused,
        invalid=run.invalid, seconds=run.seconds, status=run.status, checks_passed=run.checks_passed,
        checks_failed=run.checks_failed, error=run.error,
    )  # fmt: skip


def _measured(lake: Lake, days: Sequence[date]) -> dict[date, pa.Table]:
    snapshot = lake.snapshot(QUALITY)
    return {day: read_table(lake.storage, QUALITY, snapshot.of(day), ["table", "metric", "value"]) for day in days}


def _charts(measured: Mapping[date, pa.Table], names: Iterable[str]) -> Iterator[Chart]:
    """Rows by label of every table that has labels, and how long the texts are."""
    for name in names:
        table = definition(name)
        if table is None:
            continue
        metrics = {day: _metrics(rows, name) for day, rows in measured.items()}
        for column in table.values:
            if column.labels:
                what = name.partition("_")[0] if column.name == "label" else column.name
                yield label_chart(f"{what.capitalize()} by day", f"rows of {name}", column.name, metrics)
            elif table is CLEAN_TEXT and pa.types.is_integer(column.type):
                yield histogram_chart(f"Text length, {column.name}", "reviews; bins double", column.name, metrics)


def _metrics(rows: pa.Table, table: str) -> dict[str, float]:
    rows = rows.filter(pc.equal(rows["table"], table))
    return dict(zip(rows["metric"].to_pylist(), rows["value"].to_pylist(), strict=True))


def _not_taken(lake: Lake, days: Iterable[date]) -> Chart:
    snapshot = lake.snapshot(ATTACHMENTS)
    files = [file for day in days for file in snapshot.of(day)]
    reasons = read_table(lake.storage, ATTACHMENTS, files, ["reason"])["reason"]
    return reason_chart(Counter(reasons.drop_null().to_pylist()))


def _refused(lake: Lake, now: datetime) -> Chart:
    arrival = now.astimezone(lake.constants.zone).date()
    return refused_chart(Counter(lake.read(QUARANTINE, arrival, ["rule"])["rule"].to_pylist()), arrival)
