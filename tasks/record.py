"""Task: note in the lake how each table's attempt ended, and the figures measured on what was published."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from prefect import runtime, task

from otzyv.schemas.tables import CLEAN_TEXT, QUALITY, RUNS
from otzyv.tasks.extractors import get
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import append, commit_days, write_file
from otzyv.tasks.lake.delta.snapshot import read_table
from otzyv.tasks.lake.releases import current_files
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.pipeline.measure import figures
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault
from otzyv.tasks.unvisited import visited


@task(
    name="record",
    task_run_name=lambda: f"record {spans(sorted({run.day for run in visited(runtime.task_run.parameters['runs'])}))}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def record(lake_uri: str, runs: Sequence[TableRun]) -> None:
    """Append to ``runs`` and renew the days in ``quality``. Days in which nothing changed leave no trace.

    A table that a run published which then died is measured now.
    """
    lake = Lake(lake_uri)
    snapshot = lake.snapshot(QUALITY)
    left = sorted({run.day for run in runs})
    fresh: dict[date, pa.Table] = {}
    while left:
        staged = {}
        for day in left:
            there = read_table(lake.storage, QUALITY, snapshot.of(day))
            if day not in fresh:
                fresh[day] = _measured(lake, [run for run in runs if run.day == day], there)
            if fresh[day].num_rows:
                kept = there.filter(pc.invert(pc.is_in(there["table"], pc.unique(fresh[day]["table"]))))
                file = write_file(lake.storage, QUALITY, day, pa.concat_tables([kept, fresh[day]]))
                staged[day] = [file] if file else []
        left = sorted(commit_days(lake.storage, snapshot, staged))
        snapshot = lake.snapshot(QUALITY)
    if any(run.state != "unchanged" for run in runs):
        append(lake.storage, RUNS, pa.Table.from_pylist([_row(run) for run in runs], schema=RUNS.arrow))


def _measured(lake: Lake, runs: Sequence[TableRun], there: pa.Table) -> pa.Table:
    """Rows of ``quality`` for what a day's runs published, and for what stands unmeasured."""
    measured = set(zip(there["table"].to_pylist(), there["run_key"].to_pylist(), strict=True))
    unmeasured = [
        run
        for run in runs
        if run.state == "published"
        or (run.state == "unchanged" and run.rows and (run.table, run.run_key) not in measured)
    ]
    return pa.Table.from_pylist([row for run in unmeasured for row in _figures(lake, run)], schema=QUALITY.arrow)


def _figures(lake: Lake, run: TableRun) -> list[dict[str, object]]:
    """Rows of ``quality`` for what a run published."""
    table = CLEAN_TEXT if run.table == CLEAN_TEXT.name else get(run.table).card.table
    found = dict(figures(lake.storage, table, current_files(table, lake.snapshot(table).of(run.day)).files))
    if run.state == "published":  # what an earlier run published, that one has checked
        found |= {"checks.passed": float(run.checks_passed)}
        found |= {f"checks.failed.{name}": 1.0 for name in run.checks_failed}
    return [
        {"table": run.table, "metric": metric, "value": value, "run_key": run.run_key, "day": run.day}
        for metric, value in found.items()
    ]


def _row(run: TableRun) -> dict[str, object]:
    return {
        "run_id": uuid.uuid4().hex,
        "table": run.table,
        "day": run.day,
        "state": run.state,
        "run_key": run.run_key,
        "fingerprint": run.fingerprint,
        "rows": run.rows,
        "computed": run.computed,
        "reused": run.reused,
        "invalid": run.invalid,
        "seconds": run.seconds,
        "money": run.money,
        "answer_p50": run.answer_p50,
        "answer_p95": run.answer_p95,
        "started_at": run.started_at,
        "error": run.error,
        "flow_run": runtime.flow_run.id,
    }
