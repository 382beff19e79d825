"""One day of one table: written, checked, and then published or left as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from schemas.checks import check
from schemas.report import Report
from tasks.lake.publish import FileWriter, Outcome, commit
from tasks.lake.snapshot import Snapshot
from tasks.lake.storage import Storage

Key = tuple[object, ...]
Rows = Callable[[Mapping[Key, str]], Iterator[pa.RecordBatch]]
"""Gives the day's rows; those named in the mapping with status ``invalid`` and null values."""

MOST_INVALID = 0.05
"""Share of rows that may fail a row check before the whole day is refused."""


class CheckFailed(RuntimeError):
    """The day did not pass its checks: nothing was published, the day is as it was."""

    def __init__(self, day: date, report: Report, why: str) -> None:
        self.report = report
        super().__init__(f"table {report.table!r}, {day}: {why}; nothing was published, the day is as it was")


@dataclass(frozen=True, slots=True)
class Published:
    """How publishing a day ended. ``invalid``: key of each row that failed a row check -> the check's name."""

    outcome: Outcome
    rows: int
    status: Mapping[str, int]
    invalid: Mapping[Key, str]
    report: Report


def publish_day(
    storage: Storage,
    snapshot: Snapshot,
    day: date,
    rows: Rows,
    expected: pa.Table,
    *,
    most_invalid: float = MOST_INVALID,
) -> Published:
    """Write a day's rows beside the table, check them, and swap them in.

    ``expected`` holds the key columns of every row the day must have. Rows that fail a row check become ``invalid``
    if they are few; a failed table check raises CheckFailed and publishes nothing.
    """
    table, invalid = snapshot.table, dict[Key, str]()
    while True:
        with FileWriter(storage, table, day) as writer:
            status: Counter[str] = Counter()
            batches = writer.through(_counted(rows(invalid), status))
            report = check(table, batches, expected=expected.select(table.keys), allow_empty=not expected.num_rows)
            staged = writer.close()
        why = _refusal(report, most_invalid, first=not invalid)
        if why and staged:
            storage.delete(staged.path)
        if why:
            raise CheckFailed(day, report, why)
        if report.ok:
            break
        invalid = dict(report.invalid_keys)
        if staged:
            storage.delete(staged.path)
    files = [staged] if staged else []
    outcome = commit(storage, snapshot, [day], files, allow_empty=not expected.num_rows)
    return Published(outcome, report.rows, dict(status), invalid, report)


def _counted(batches: Iterator[pa.RecordBatch], status: Counter[str]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        status.update(batch.column("status").to_pylist())
        yield batch


def _refusal(report: Report, most_invalid: float, *, first: bool) -> str | None:
    """Why the day can't be published even with its failing rows marked invalid; None if it can."""
    if report.fatal:
        return f"failed: {', '.join(failure.rule for failure in report.fatal)}"
    share = len(report.invalid_keys) / report.rows if report.rows else 0.0
    if share > most_invalid:
        checks = ", ".join(sorted({failure.rule for failure in report.failed}))
        return f"{len(report.invalid_keys)} of {report.rows} rows failed ({checks}), more than {most_invalid:.0%}"
    if not report.ok and not first:
        return "rows marked invalid fail their checks again"
    return None
