"""Publishing days of a table: files are written aside, then one compare-and-swap makes them the days' contents.

Measured on deltalake 1.6: with no retries ``create_write_transaction`` is a strict compare-and-swap on the table's
version, but its errors do not tell whether the commit is live. So after any error the table is opened again and the
files are looked for by their names, which no other writer can have made.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties
from deltalake.transaction import AddAction, RemoveAction

from schemas.table import Table
from tasks.lake.snapshot import STATISTICS, DataFile, Snapshot, open_snapshot
from tasks.lake.storage import Storage, Written

ROW_GROUP = 4096
ATTEMPTS = 50
"""How often a commit is tried while other writers commit *other* days of the table."""


class EmptyDay(RuntimeError):
    """Publishing would empty a day that has rows, and nobody said that this is meant."""


Outcome = Literal["published", "superseded"]


class FileWriter:
    """Writes one new data file of a day; it belongs to no version until it is committed. No rows, no file.

    Vectors lie plain (no dictionary, statistics or compression, which cost time and save nothing on them); the rest
    is compressed with zstd. Pages carry checksums: without them half of single bit flips go unseen.
    """

    def __init__(self, storage: Storage, table: Table, day: date | None) -> None:
        self._storage = storage
        self._table = table
        self._day = day
        self._schema = pa.schema([field for field in table.arrow if field.name != table.partition])
        self._constants: dict[str, set[str]] = {name: set() for name in STATISTICS if name in table.names}
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._stream: Written | None = None
        self._rows = 0
        folder = f"{table.name}/{table.partition}={day.isoformat()}" if day is not None else table.name
        self._path = f"{folder}/part-{uuid.uuid4().hex}-{{crc}}.parquet"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        if self._writer is None:
            self._writer = self._open()
        self._writer.write_batch(batch.select(self._schema.names).cast(self._schema))
        self._rows += batch.num_rows
        for name, seen in self._constants.items():
            seen.update(batch.column(name).unique().to_pylist())

    def through(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches on to another reader while they are written."""
        for batch in batches:
            self.write(batch)
            yield batch

    def close(self) -> DataFile | None:
        """The finished file, None if no row was written."""
        self._stack.close()
        if self._stream is None:
            return None
        single = {name: next(iter(seen)) if len(seen) == 1 else None for name, seen in self._constants.items()}
        return DataFile(
            self._stream.path,
            self._stream.tell(),
            self._rows,
            self._day,
            single.get("run_key"),
            single.get("fingerprint"),
        )

    def _open(self) -> pq.ParquetWriter:
        vectors = [field.name for field in self._schema if pa.types.is_list(field.type)]
        plain = [field.name for field in self._schema if field.name not in vectors]
        self._stream = self._stack.enter_context(self._storage.create(self._path))
        return self._stack.enter_context(
            pq.ParquetWriter(
                self._stream,
                self._schema,
                compression={**dict.fromkeys(plain, "zstd"), **{f"{name}.list.element": "none" for name in vectors}},
                use_dictionary=plain,
                write_statistics=False,
                write_page_checksum=True,
            )
        )


def write_file(storage: Storage, table: Table, day: date | None, rows: pa.Table) -> DataFile | None:
    """Write a small table as one data file of a day; None if it has no rows."""
    with FileWriter(storage, table, day) as writer:
        for batch in rows.to_batches(max_chunksize=ROW_GROUP):
            writer.write(batch)
        return writer.close()


def commit(
    storage: Storage,
    snapshot: Snapshot,
    days: Sequence[date | None],
    staged: Sequence[DataFile],
    *,
    allow_empty: bool = False,
) -> Outcome:
    """Make the staged files the whole contents of the days, if the days are still as the snapshot saw them.

    Returns "superseded", and removes the staged files, when another writer changed one of the days meanwhile.
    Raises EmptyDay when a day with rows would be left without any and ``allow_empty`` is not given.
    """
    before = {day: snapshot.of(day) for day in days}
    filled = {file.day for file in staged}
    emptied = [day for day in days if before[day] and day not in filled]
    if emptied and not allow_empty:
        named = ", ".join(str(day) for day in emptied)
        raise EmptyDay(f"table {snapshot.table.name!r}: this would leave no rows in {named}, which has rows now")
    removed = [file for day in days for file in before[day]]
    if not staged and not removed:
        return "published"
    return _swap(storage, snapshot, before, removed, staged)


def append(storage: Storage, table: Table, rows: pa.Table, day: date | None = None) -> None:
    """Add rows beside what is there: for tables of events (runs, quarantine), never for a day's contents."""
    file = write_file(storage, table, day, rows)
    if file is not None:
        _swap(storage, open_snapshot(storage, table), {}, [], [file])


def commit_rows(storage: Storage, snapshot: Snapshot, rows: pa.Table, day: date | None = None) -> bool:
    """Add rows (of one day) if the day is still as the snapshot saw it; False if another writer changed it meanwhile.

    Without a day, the whole table must be as it was.
    """
    file = write_file(storage, snapshot.table, day, rows)
    if file is None:
        return True
    return _swap(storage, snapshot, {day: snapshot.of(day)}, [], [file]) == "published"


def _swap(
    storage: Storage,
    snapshot: Snapshot,
    before: dict[date | None, tuple[DataFile, ...]],
    removed: Sequence[DataFile],
    staged: Sequence[DataFile],
) -> Outcome:
    current = snapshot
    for attempt in range(ATTEMPTS):
        try:
            _transact(current, removed, staged)
        except Exception:
            # The error does not tell whether the commit is live: only the table does.
            now = open_snapshot(storage, snapshot.table)
            live = {file.path for file in now.files}
            if all(file.path in live for file in staged) and not any(file.path in live for file in removed):
                return "published"
            if any({f.path for f in now.of(day)} != {f.path for f in files} for day, files in before.items()):
                for file in staged:
                    storage.delete(file.path)
                return "superseded"
            if now.version == current.version or attempt == ATTEMPTS - 1:
                raise
            current = now
        else:
            break
    storage.sync(f"{snapshot.table.name}/_delta_log/{current.version + 1:020}.json")
    return "published"


def _transact(snapshot: Snapshot, removed: Sequence[DataFile], staged: Sequence[DataFile]) -> None:
    now = int(time.time() * 1000)
    prefix = f"{snapshot.table.name}/"
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(file.path.removeprefix(prefix), True, now, file.size, _partition(snapshot.table, file))
        for file in removed
    ]
    actions += [
        AddAction(
            file.path.removeprefix(prefix), file.size, _partition(snapshot.table, file), now, True, _statistics(file)
        )
        for file in staged
    ]
    snapshot.handle.create_write_transaction(
        actions,
        mode="append",
        schema=snapshot.handle.schema(),
        partition_by=[snapshot.table.partition] if snapshot.table.partition else [],
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _partition(table: Table, file: DataFile) -> dict[str, str | None]:
    if table.partition is None or file.day is None:
        return {}
    return {table.partition: file.day.isoformat()}


def _statistics(file: DataFile) -> str:
    known = {name: value for name in STATISTICS if (value := getattr(file, name)) is not None}
    return json.dumps(
        {"numRecords": file.rows, "minValues": known, "maxValues": known, "nullCount": dict.fromkeys(known, 0)}
    )
