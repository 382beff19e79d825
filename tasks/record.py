"""Task: note in the lake how each table's attempt ended, and the day's measured figures."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date

import pyarrow as pa
from prefect import task

from schemas.tables import RUNS
from tasks.features import TableRun
from tasks.lake import Lake
from tasks.lake.publish import append


@task(name="record", task_run_name="record {day}")
def record(lake_uri: str, day: date, tables: Sequence[TableRun]) -> None:
    """Append to ``runs``. A day in which nothing changed leaves no trace: nothing is written."""
    if all(run.state == "unchanged" for run in tables):
        return
    rows = [
        {
            "run_id": uuid.uuid4().hex,
            "table": run.table,
            "day": day,
            "state": run.state,
            "run_key": run.run_key,
            "fingerprint": run.fingerprint,
            "rows": run.rows,
            "computed": run.computed,
            "reused": run.reused,
            "invalid": run.invalid,
            "seconds": run.seconds,
            "started_at": run.started_at,
            "error": run.error,
        }
        for run in tables
    ]
    append(Lake(lake_uri).storage, RUNS, pa.Table.from_pylist(rows, schema=RUNS.arrow))
