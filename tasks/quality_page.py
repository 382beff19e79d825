"""Task: the quality page of a run, one self-contained HTML file in the lake."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

import pyarrow.compute as pc
from prefect import task

from schemas.table import Table
from schemas.tables import CLEAN_TEXT, QUALITY, QUARANTINE
from tasks.extractors import get
from tasks.features import TableRun
from tasks.ingest import Accounting
from tasks.lake import Lake
from tasks.quality.page import Bars, Page, TableLine, histogram_bars, label_bars, render, status_bars
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
    page = Page(
        lake=lake.uri,
        made_at=made_at,
        accounting={k: v for k, v in asdict(accounting).items() if isinstance(v, int)} if accounting else None,
        days=sorted(days.items()),
        lines=lines,
        charts=[status_bars(lines), *_charts(lake, sorted(days), dict.fromkeys(run.table for run in runs))],
        refused=_refused(lake, made_at),
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


def _charts(lake: Lake, days: Sequence[date], names: Mapping[str, object]) -> Iterator[Bars]:
    for name in names:
        table: Table = CLEAN_TEXT if name == CLEAN_TEXT.name else get(name).card.table
        metrics = [_metrics(lake, name, day) for day in days]
        for column in table.values:
            if column.labels:
                yield label_bars(name, column.name, metrics)
            elif any(f"{column.name}.p50" in measured for measured in metrics) and table is CLEAN_TEXT:
                yield histogram_bars(name, column.name, metrics)


def _metrics(lake: Lake, table: str, day: date) -> dict[str, float]:
    rows = lake.read(QUALITY, day, ["table", "metric", "value"])
    rows = rows.filter(pc.equal(rows["table"], table))
    return dict(zip(rows["metric"].to_pylist(), rows["value"].to_pylist(), strict=True))


def _refused(lake: Lake, now: datetime) -> dict[str, int]:
    rules = lake.read(QUARANTINE, now.astimezone(lake.constants.zone).date(), ["rule"])["rule"]
    counted = pc.value_counts(rules.combine_chunks()).to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counted, key=lambda row: -row["counts"])}
