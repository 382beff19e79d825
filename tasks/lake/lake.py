"""A lake, as a notebook or a task uses it: ``Lake(uri).frame(days, tables)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from schemas.table import Column, Table
from schemas.tables import TABLES
from tasks.lake import constants, releases
from tasks.lake.constants import Constants
from tasks.lake.releases import Release
from tasks.lake.snapshot import DataFile, Snapshot, open_snapshot, read_batches, read_table
from tasks.lake.storage import Storage


class MixedFingerprints(RuntimeError):
    """Days of one table were made by different models or code: their vectors can't stand in one column."""


class NotReleased(LookupError):
    """A day was asked for that no release makes visible."""


class Lake:
    """An existing lake. ``Lake.create`` makes one (or opens the one that is there)."""

    def __init__(self, uri: str | Path) -> None:
        self.storage = Storage(uri)
        self.constants = constants.read(self.storage)

    @classmethod
    def create(cls, uri: str | Path, wanted: Constants | None = None) -> Lake:
        constants.create(Storage(uri), wanted or Constants())
        return cls(uri)

    def __repr__(self) -> str:
        return f"Lake({self.storage.uri!r})"

    @property
    def uri(self) -> str:
        return self.storage.uri

    def snapshot(self, table: Table) -> Snapshot:
        return open_snapshot(self.storage, table)

    def table(self, name: str) -> Table:
        """The definition of a table of this lake; an extractor's is read off the table itself."""
        if name in TABLES:
            return TABLES[name]
        try:
            handle = DeltaTable(self.storage.at(name), storage_options=self.storage.options)
        except TableNotFoundError:
            raise LookupError(f"no table {name!r} in {self.uri}; there are: {', '.join(self.tables())}") from None
        fields = pa.schema(handle.schema().to_arrow())
        columns = tuple(Column(name=f.name, type=f.type, doc="", required=not f.nullable) for f in fields)
        keys = tuple(key for key in ("review_id", "position") if key in fields.names)
        return Table(name=name, row=handle.metadata().description or "", columns=columns, keys=keys)

    def tables(self) -> tuple[str, ...]:
        """The names of the tables that are there."""
        folders = self.storage.folders()
        return tuple(name for name in folders if self.storage.files(f"{name}/_delta_log"))

    def read(self, table: Table, day: date | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The newest publication of a table, or of one day of it, released or not."""
        snapshot = self.snapshot(table)
        return read_table(self.storage, table, snapshot.files if day is None else snapshot.of(day), columns)

    def head(self, table: Table, day: date | None, limit: int) -> pa.Table:
        """The first rows of the newest publication, without reading the rest."""
        snapshot = self.snapshot(table)
        files = snapshot.files if day is None else snapshot.of(day)
        batches: list[pa.RecordBatch] = []
        left = limit
        for batch in read_batches(self.storage, table, sorted(files, key=lambda f: (str(f.day), f.path)), rows=limit):
            batches.append(batch.slice(0, left))
            left -= batches[-1].num_rows
            if not left:
                break
        return pa.Table.from_batches(batches, table.arrow)

    def releases(self, days: Sequence[date] | None = None) -> dict[date, Release]:
        """The release that readers see, for each day that has one."""
        return releases.latest(self.storage, days)

    def history(self, days: Sequence[date] | None = None) -> dict[date, tuple[Release, ...]]:
        """All releases of each day, held ones too, oldest first."""
        return releases.history(self.storage, days)

    def frame(
        self,
        days: Sequence[date] | None,
        tables: Sequence[str],
        kind: Literal["pandas", "arrow"] = "pandas",
    ) -> pd.DataFrame | pa.Table:
        """Released rows of one or more tables, joined by review_id; all released days where ``days`` is None.

        One table comes as it is. Of several, columns are named ``table.column``; a table with a row per attachment
        gives a list per review, in the order of its positions. Raises NotReleased for a day that was asked for and has
        no release, or none with one of the tables; and MixedFingerprints if the days of a table were made by different
        models. Both name the days. Without ``days``, those that were released without a table lack its rows.
        """
        if not tables:
            raise ValueError("name at least one table")
        seen = self.releases(days)
        missing = sorted(set(days or ()) - set(seen))
        if missing:
            named = ", ".join(str(day) for day in missing)
            raise NotReleased(f"no release of {named}; released days: {_span(seen)}")
        known = [self.table(name) for name in tables]
        for name in tables if days is not None else ():
            without = sorted(day for day, release in seen.items() if name not in {t.table for t in release.tables})
            if without:
                named = ", ".join(map(str, without))
                raise NotReleased(
                    f"table {name!r} is in no release of {named}, or was made of other reviews than the day has now. "
                    f"Make it with: otzyv features --lake {self.uri} --from {without[0]} --to {without[-1]} "
                    f"--extractors {name}"
                )
        parts = [self._released(table, seen.values()) for table in known]
        joined = parts[0] if len(parts) == 1 else _joined(known, parts)
        return joined if kind == "arrow" else joined.to_pandas()

    def _released(self, table: Table, seen: Iterable[Release]) -> pa.Table:
        files: list[DataFile] = []
        made: dict[str | None, list[date]] = {}
        for release in sorted(seen, key=lambda release: release.day):
            if all(known.table != table.name for known in release.tables):
                continue
            known = release.table(table.name)
            if not known.files:
                continue
            made.setdefault(known.fingerprint, []).append(release.day)
            files += [DataFile(path, 0, 0, release.day) for path in known.files]
        if len(made) > 1:
            told = "; ".join(f"{(key or 'mixed')[:12]}: {', '.join(map(str, days))}" for key, days in made.items())
            oldest = min(made.values(), key=max)
            raise MixedFingerprints(
                f"table {table.name!r} was made by different models or code ({told}). Make them alike with: "
                f"otzyv features --lake {self.uri} --from {min(oldest)} --to {max(oldest)} --extractors {table.name}"
            )
        return read_table(self.storage, table, files)


def _span(seen: Iterable[date]) -> str:
    days = sorted(seen)
    return f"{days[0]} to {days[-1]} ({len(days)})" if days else "none"


def _joined(tables: Sequence[Table], parts: Sequence[pa.Table]) -> pa.Table:
    whole = pa.table({"review_id": pa.array([], pa.string())})
    for table, part in zip(tables, parts, strict=True):
        if "position" in table.keys:
            part = part.sort_by([("review_id", "ascending"), ("position", "ascending")])
            others = [name for name in part.column_names if name not in ("review_id", "day")]
            part = _lists(part, others)
        part = part.rename_columns(
            [name if name == "review_id" else f"{table.name}.{name}" for name in part.column_names]
        )
        whole = _join(whole, part)
    return whole.sort_by("review_id")


def _lists(part: pa.Table, names: Sequence[str]) -> pa.Table:
    """One row per review_id (rows are sorted by it), each other column a list."""
    ends = part.group_by("review_id", use_threads=False).aggregate([([], "count_all")])
    offsets = pa.array([0, *np.cumsum(ends["count_all"].to_numpy()).tolist()], pa.int32())
    lists = {name: pa.ListArray.from_arrays(offsets, part[name].combine_chunks()) for name in names}
    return pa.table({"review_id": ends["review_id"], **lists})


def _join(left: pa.Table, right: pa.Table) -> pa.Table:
    """Full outer join by review_id. Arrow's own join refuses list columns, so rows are taken by their number."""
    numbers = [
        pa.table({"review_id": side["review_id"], name: pa.array(range(side.num_rows), pa.int64())})
        for side, name in ((left, "left"), (right, "right"))
    ]
    both = numbers[0].join(numbers[1], "review_id", join_type="full outer")
    columns = {"review_id": both["review_id"]}
    for side, name in ((left, "left"), (right, "right")):
        taken = side.drop_columns(["review_id"]).take(both[name])
        columns |= dict(zip(taken.column_names, taken.columns, strict=True))
    return pa.table(columns)
