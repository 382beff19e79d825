"""A Delta table as it stands at one version: which files hold which day."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from schemas.table import Table
from tasks.lake.storage import Storage


class TornLog(RuntimeError):
    """The last entry of a table's log is empty or cut off: rows would be missing without a word."""


class CorruptFile(RuntimeError):
    """A data file is missing, has the wrong size or fails its checksums."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table. ``path`` is relative to the lake's root."""

    path: str
    size: int
    rows: int
    day: date | None
    run_key: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table at the version it had when it was opened; commits through it are refused once that has changed."""

    table: Table
    version: int
    handle: DeltaTable
    files: tuple[DataFile, ...]

    def of(self, day: date | None) -> tuple[DataFile, ...]:
        return tuple(file for file in self.files if file.day == day)

    @property
    def days(self) -> tuple[date, ...]:
        return tuple(sorted({file.day for file in self.files if file.day is not None}))

    def holds(self, day: date, run_key: str) -> bool:
        """Whether the day as it stands is the publication of that run key."""
        files = self.of(day)
        return bool(files) and all(file.run_key == run_key for file in files)


STATISTICS = ("run_key", "fingerprint")
"""The only columns with statistics in the log: nothing personal may stand there."""


def open_snapshot(storage: Storage, table: Table) -> Snapshot:
    """Open a table, making it if it isn't there.

    Raises TornLog if the newest log entry is empty or not whole.
    """
    uri = storage.at(table.name)
    _refuse_torn_log(storage, table.name)
    try:
        handle = DeltaTable(uri, storage_options=storage.options)
    except TableNotFoundError:
        handle = _create(storage, table, uri)
    return Snapshot(table, handle.version(), handle, tuple(_files(table, handle)))


def _create(storage: Storage, table: Table, uri: str) -> DeltaTable:
    statistics = ",".join(name for name in STATISTICS if name in table.names)
    try:
        DeltaTable.create(
            uri,
            table.arrow,
            mode="ignore",
            partition_by=table.partition,
            description=table.row,
            configuration={"delta.dataSkippingStatsColumns": statistics}
            if statistics
            else {"delta.dataSkippingNumIndexedCols": "0"},
            storage_options=storage.options,
        )
    except DeltaError:
        # Another worker may have made it in between: then opening it works.
        return DeltaTable(uri, storage_options=storage.options)
    return DeltaTable(uri, storage_options=storage.options)


def _refuse_torn_log(storage: Storage, name: str) -> None:
    entries = [path for path in storage.files(f"{name}/_delta_log") if path.endswith(".json")]
    if not entries:
        return
    newest = storage.read(entries[-1])
    try:
        for line in newest.splitlines():
            json.loads(line)
        torn = not newest.strip()
    except ValueError:
        torn = True
    if torn:
        raise TornLog(
            f"the newest log entry of table {name!r} is not whole: {storage.at(entries[-1])} ({len(newest)} bytes). "
            f"No commit is lost if it was never acknowledged: move that file away and run again"
        )


def _files(table: Table, handle: DeltaTable) -> Iterator[DataFile]:
    actions = pa.table(handle.get_add_actions(flatten=True)).to_pydict()
    keys = _constant(actions, "run_key")
    prints = _constant(actions, "fingerprint")
    days = actions.get(f"partition.{table.partition}", [None] * len(actions["path"]))
    for path, size, rows, day, key, fingerprint in zip(
        actions["path"], actions["size_bytes"], actions["num_records"], days, keys, prints, strict=True
    ):
        yield DataFile(f"{table.name}/{path}", size, rows, day, key, fingerprint)


def _constant(actions: dict[str, list[Any]], column: str) -> list[str | None]:
    """The one value a file has in a column, from its statistics; None where there is none or more than one."""
    low, high = actions.get(f"min.{column}"), actions.get(f"max.{column}")
    if low is None or high is None:
        return [None] * len(actions["path"])
    return [a if a == b else None for a, b in zip(low, high, strict=True)]


def read_batches(
    storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str] | None = None, *, rows: int = 4096
) -> Iterator[pa.RecordBatch]:
    """The rows of data files, in their order, as batches with the table's schema (the partition column included).

    Raises CorruptFile, naming the file, if one is missing, cut off or fails a checksum.
    """
    names = list(columns or table.names)
    schema = pa.schema([table.arrow.field(name) for name in names])
    stored = [name for name in names if name != table.partition]
    for file in files:
        try:
            with storage.parquet(file.path) as parquet:
                for batch in parquet.iter_batches(batch_size=rows, columns=stored):
                    arrays = [
                        pa.repeat(pa.scalar(file.day, field.type), batch.num_rows)
                        if field.name == table.partition
                        else batch.column(field.name).cast(field.type)
                        for field in schema
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptFile(f"{storage.at(file.path)}: {error}") from error


def read_table(
    storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of data files as one table. For columns that are small; vectors go through ``read_batches``."""
    names = list(columns or table.names)
    schema = pa.schema([table.arrow.field(name) for name in names])
    return pa.Table.from_batches(read_batches(storage, table, files, names), schema)
