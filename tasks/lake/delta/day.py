"""Days of one table: written, checked together, and then published in one commit or left as they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa

from otzyv.schemas.checks import check
from otzyv.schemas.errors import LakeError
from otzyv.schemas.report import Report
from otzyv.schemas.table import Table
from otzyv.tasks.lake.delta.publish import FileWriter, Outcome, commit_days, discard
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot
from otzyv.tasks.lake.delta.storage import Storage

Key = tuple[object, ...]
Rows = Callable[[date, Mapping[Key, str]], Iterator[pa.RecordBatch]]
"""Gives a day's rows; those named in the mapping with status ``invalid`` and null values."""

MOST_INVALID = 0.05
"""Share of rows that may fail a row check before the whole day is refused."""


class CheckFailed(LakeError):
    """The day did not pass its checks: nothing of it was published, it is as it was."""

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


@dataclass(frozen=True, slots=True)
class _Staged:
    """A day that is written and has passed its checks. ``file``: None without any row."""

    file: DataFile | None
    status: Mapping[str, int]
    invalid: Mapping[Key, str]
    report: Report


def publish_days(
    storage: Storage,
    snapshot: Snapshot,
    rows: Rows,
    expected: Mapping[date, pa.Table],
    *,
    most_invalid: float = MOST_INVALID,
) -> dict[date, Published | CheckFailed]:
    """Write the rows of days beside the table, check them, and swap them in by one commit.

    ``expected`` holds, by day, the key columns of every row it must have. All days are checked together; only where
    something is wrong, each day that it may concern is written and checked by itself. There, rows that fail a row
    check become ``invalid`` if they are few; a day that fails a table check is left out and stays as it was, as does
    one that another writer has published meanwhile.
    """
    staged, suspected = _together(storage, snapshot.table, rows, expected)
    ended: dict[date, Published | CheckFailed] = {}
    for day, invalid in suspected.items():
        try:
            staged[day] = _alone(storage, snapshot.table, day, rows, expected[day], invalid, most_invalid)
        except CheckFailed as failure:
            ended[day] = failure
    files = {day: [each.file] if each.file else [] for day, each in staged.items()}
    late = commit_days(storage, snapshot, files)
    for day, each in staged.items():
        outcome: Outcome = "superseded" if day in late else "published"
        ended[day] = Published(outcome, each.report.rows, each.status, each.invalid, each.report)
    return {day: ended[day] for day in expected}


def _together(
    storage: Storage, table: Table, rows: Rows, expected: Mapping[date, pa.Table]
) -> tuple[dict[date, _Staged], dict[date, dict[Key, str]]]:
    """The days that pass their checks as they are, and the others with their rows that fail a row check.

    Where a check of the whole fails that names no rows, it may be any day's.
    """
    files: dict[date, DataFile | None] = {}
    status: dict[date, Counter[str]] = {day: Counter() for day in expected}

    def written() -> Iterator[pa.RecordBatch]:
        for day in expected:
            with FileWriter(storage, table, day) as writer:
                yield from writer.through(_counted(rows(day, {}), status[day]))
                files[day] = writer.close()

    report = check(table.of_days, written(), expected=_keyed(table, expected), allow_empty=not _count(expected))
    suspected: dict[date, dict[Key, str]] = {}
    if report.fatal:
        suspected = {day: {} for day in expected}
    else:
        for (*key, day), rule in report.invalid_keys.items():
            suspected.setdefault(day, {})[tuple(key)] = rule
    discard(storage, [file for day, file in files.items() if file and day in suspected])
    checks = tuple(replace(each, success=True, unexpected=0) for each in report.checks)
    good = {
        day: _Staged(
            files[day], status[day], {}, Report(table.name, keys.num_rows, checks if keys.num_rows else (), ())
        )
        for day, keys in expected.items()
        if day not in suspected
    }
    return good, suspected


def _count(expected: Mapping[date, pa.Table]) -> int:
    return sum(keys.num_rows for keys in expected.values())


def _keyed(table: Table, expected: Mapping[date, pa.Table]) -> pa.Table:
    """The keys of all days, each with its day."""
    partition = str(table.partition)
    field = table.column(partition)
    parts = [
        keys.select(table.keys).append_column(partition, pa.repeat(pa.scalar(day, field.type), keys.num_rows))
        for day, keys in expected.items()
    ]
    return pa.concat_tables(parts)


def _alone(
    storage: Storage,
    table: Table,
    day: date,
    rows: Rows,
    expected: pa.Table,
    suspected: Mapping[Key, str],
    most_invalid: float,
) -> _Staged:
    """A day with the rows that fail a row check marked: those suspected, if they are few, else those found now.

    Raises CheckFailed where they are many, or the day fails a table check.
    """
    invalid = dict(suspected) if len(suspected) <= most_invalid * expected.num_rows else {}
    while True:
        with FileWriter(storage, table, day) as writer:
            status: Counter[str] = Counter()
            batches = writer.through(_counted(rows(day, invalid), status))
            report = check(table, batches, expected=expected.select(table.keys), allow_empty=not expected.num_rows)
            staged = writer.close()
        why = _refusal(report, most_invalid, first=not invalid)
        if not why and report.ok:
            return _Staged(staged, dict(status), invalid, report)
        discard(storage, [staged] if staged else [])
        if why:
            raise CheckFailed(day, report, why)
        invalid = dict(report.invalid_keys)


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
