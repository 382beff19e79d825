"""Task: note in the lake how each table's attempt ended, and the figures measured on what was published."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from prefect import runtime, task

from schemas.tables import CLEAN_TEXT, QUALITY, RUNS
from tasks.extractors import get
from tasks.features import TableRun
from tasks.lake import Lake
from tasks.lake.publish import append, commit, write_file
from tasks.lake.releases import standing
from tasks.measured import figures
from tasks.retry import DELAYS, RETRIES, environment_fault


@task(
    name="record",
    task_run_name="record {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def record(lake_uri: str, day: date, runs: Sequence[TableRun]) -> None:
    """Append to ``runs`` and renew the day in ``quality``. A day in which nothing changed leaves no trace.

    A table that a run published which then died is measured now.
    """
    lake = Lake(lake_uri)
    quality = lake.read(QUALITY, day, ["table", "run_key"])
    measured = set(zip(quality["table"].to_pylist(), quality["run_key"].to_pylist(), strict=True))
    unmeasured = [
        run
        for run in runs
        if run.state == "published"
        or (run.state == "unchanged" and run.rows and (run.table, run.run_key) not in measured)
    ]
    if unmeasured:
        _measure(lake, day, unmeasured)
    if any(run.state != "unchanged" for run in runs):
        append(lake.storage, RUNS, pa.Table.from_pylist([_row(run) for run in runs], schema=RUNS.arrow))


def _measure(lake: Lake, day: date, runs: Sequence[TableRun]) -> None:
    rows = []
    for run in runs:
        table = CLEAN_TEXT if run.table == CLEAN_TEXT.name else get(run.table).card.table
        found = dict(figures(lake.storage, table, standing(table, lake.snapshot(table).of(day)).files))
        if run.state == "published":  # what an earlier run published, that one has checked
            found |= {"checks.passed": float(run.checks_passed)}
            found |= {f"checks.failed.{name}": 1.0 for name in run.checks_failed}
        rows += [
            {"table": run.table, "metric": metric, "value": value, "run_key": run.run_key, "day": day}
            for metric, value in found.items()
        ]
    fresh = pa.Table.from_pylist(rows, schema=QUALITY.arrow)
    while True:
        snapshot = lake.snapshot(QUALITY)
        there = lake.read(QUALITY, day)
        kept = there.filter(pc.invert(pc.is_in(there["table"], pc.unique(fresh["table"]))))
        file = write_file(lake.storage, QUALITY, day, pa.concat_tables([kept, fresh]))
        if commit(lake.storage, snapshot, [day], [file] if file else []) == "published":
            return


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
