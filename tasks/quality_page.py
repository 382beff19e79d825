"""Task: the quality page of a run, one self-contained HTML file in the lake."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from schemas.table import Table
from schemas.tables import CLEAN_TEXT, QUALITY, QUARANTINE
from tasks.extractors import get
from tasks.features import TableRun
from tasks.ingest import Accounting
from tasks.lake import Lake
from tasks.quality.page import (
    Chart,
    Page,
    TableLine,
    histogram_chart,
    label_chart,
    refused_chart,
    render,
    status_chart,
)
from tasks.release import Verdict

FOLDER = "pages"


@task(name="quality page")
def quality_page(
    lake_uri: str, accounting: Accounting | None, days: Mapping[date, Verdict], runs: Sequence[TableRun]
) -> str | None:
    """Write the page of a run that changed something; else give the newest page there is, None without any."""
    lake = Lake(lake_uri)
    if all(run.state == "unchanged" for run in runs):
        pages = lake.storage.files(FOLDER)
        return lake.storage.at(pages[-1]) if pages else None
    made_at = datetime.now(UTC)
    lines = [_line(run) for run in runs]
    charts = _charts(lake, sorted(days), dict.fromkeys(run.table for run in reversed(runs)))
    page = Page(
        lake=lake.uri,
        made_at=made_at,
        accounting={k: v for k, v in asdict(accounting).items() if isinstance(v, int)} if accounting else None,
        days=sorted(days.items()),
        lines=lines,
        charts=[status_chart(lines), _refused(lake, made_at), *charts],
    )
    path = f"{FOLDER}/{made_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.html"
    lake.storage.write(path, render(page).encode())
    return lake.storage.at(path)


def _line(run: TableRun) -> TableLine:
    return TableLine(
        table=run.table, day=run.day, state=run.state, rows=run.rows, computed=run.computed, reused=run.reused,
        invalid=run.invalid, seconds=run.seconds, status=run.status, checks_passed=run.checks_passed,
        checks_failed=run.checks_failed, error=run.error,
    )  # fmt: skip


def _charts(lake: Lake, days: Sequence[date], names: Mapping[str, object]) -> Iterator[Chart]:
    """Rows by label of every table that has labels, and how long the texts are."""
    measured = {day: lake.read(QUALITY, day, ["table", "metric", "value"]) for day in days}
    for name in names:
        table: Table = CLEAN_TEXT if name == CLEAN_TEXT.name else get(name).card.table
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


def _refused(lake: Lake, now: datetime) -> Chart:
    arrival = now.astimezone(lake.constants.zone).date()
    return refused_chart(Counter(lake.read(QUARANTINE, arrival, ["rule"])["rule"].to_pylist()), arrival)
