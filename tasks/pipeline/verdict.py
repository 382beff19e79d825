"""What the quality verdict of a day is taken from: its figures, those readers see, and the days before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta

from otzyv.schemas.table import Table
from otzyv.schemas.tables import CLEAN_TEXT, TABLES
from otzyv.tasks.extractors import get
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import CorruptFile
from otzyv.tasks.lake.releases import Release, ReleasedTable
from otzyv.tasks.pipeline.measure import figures, vector_stats
from otzyv.tasks.quality.verdict import Limits, Measured, critical

DAYS = 14
"""How many days back a day is compared with."""


class Judge:
    """Judges days of a lake, each beside what readers see of the days before it."""

    def __init__(self, lake: Lake, limits: Limits, days: Sequence[date]) -> None:
        self._lake = lake
        self._limits = limits
        window = {day - timedelta(days=back) for day in days for back in range(DAYS + 1)}
        self._seen = lake.releases(sorted(window))
        self._rows = {file.path: file.rows for file in lake.snapshot(CLEAN_TEXT).files}

    def held(self, day: date, tables: Sequence[ReleasedTable], new: Mapping[date, Release]) -> str | None:
        """Why a person must look at the day before readers see it with these tables; None if they may see it at once.

        ``new``: releases that are made with this one, of days judged before.
        """
        visible = {other: release for other, release in new.items() if release.visible}
        window = [day - timedelta(days=back) for back in range(DAYS + 1)]
        known = {**self._seen, **visible}
        seen = {other: known[other] for other in window if other in known}
        usual = [
            sum(self._rows[path] for path in files)
            for other, release in seen.items()
            if other != day
            for files in [table.files for table in release.tables if table.table == CLEAN_TEXT.name]
            if files and all(path in self._rows for path in files)
        ]
        reference = max(seen, default=None)  # the day itself where readers see something of it
        former = seen[reference].tables if reference else ()
        now, before = _measured(self._lake, tables, former), None
        with suppress(CorruptFile):  # what readers had may be what this release is to mend
            before = _measured(self._lake, former, tables) if reference else None
        seen_now = _as_seen(tables, former, now, before) if before and reference == day else frozenset()
        return "; ".join(critical(self._limits, now, before, usual, reviews=CLEAN_TEXT.name, seen=seen_now)) or None


def _measured(lake: Lake, tables: Sequence[ReleasedTable], others: Collection[ReleasedTable]) -> Measured:
    """Tables as the verdict sees them; vectors only of those that are not among the ``others``: they have not moved."""
    seen = [(table, released) for released in tables if (table := definition(released.table))]
    clouds = {table.name: vector_stats(lake.storage, table, each.files) for table, each in seen if each not in others}
    return Measured(
        {table.name: figures(lake.storage, table, released.files) for table, released in seen},
        {name: found for name, found in clouds.items() if found},
        {table.name: released.fingerprint for table, released in seen},
    )


def _as_seen(
    tables: Sequence[ReleasedTable], former: Sequence[ReleasedTable], now: Measured, before: Measured
) -> frozenset[str]:
    """Tables that were made of the same, by the same code, and with the same figures as what readers see of the day."""
    keys = {table.table: table.run_key for table in former}
    return frozenset(
        table.table
        for table in tables
        if table.run_key
        and keys.get(table.table) == table.run_key
        and now.figures.get(table.table) == before.figures.get(table.table)
    )


def definition(name: str) -> Table | None:
    """The feature table of that name; None of another table, or where this process does not know its extractor."""
    if name in TABLES:
        return CLEAN_TEXT if name == CLEAN_TEXT.name else None
    try:
        return get(name).card.table
    except LookupError:
        return None
