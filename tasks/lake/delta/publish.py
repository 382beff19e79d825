"""Publishing days of a table: files are written aside, then one compare-and-swap makes them the days' contents.

Measured on deltalake 1.6: with no retries ``create_write_transaction`` is a strict compare-and-swap on the table's
version, but its errors do not tell whether the commit is live. So every commit carries a name of its own, and after
any error the log's next entry is read: it is that commit, another writer's, or not there.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import date
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, Field, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from otzyv.schemas.errors import LakeError
from otzyv.schemas.table import Table
from otzyv.tasks.lake.delta.snapshot import (
    ACTIONS,
    COMMIT,
    SEAL,
    STATISTICS,
    DataFile,
    Snapshot,
    WriteFailed,
    after,
    committed,
    create_table,
    define,
    log_entry,
    open_delta,
    open_snapshot,
    read_commit,
    seal,
)
from otzyv.tasks.lake.delta.storage import Storage, Written

ROW_GROUP = 4096
ATTEMPTS = 50
"""How often a commit is tried while other writers commit *other* days of the table."""


class EmptyDay(LakeError):
    """Publishing would empty a day that has rows, and nobody said that this is meant."""


class OtherColumns(LakeError):
    """The table in the lake has other columns than those to be written, by more than columns that may be added."""


class _ColumnsAdded(Exception):
    """The table has got the columns it lacked, by a commit of its own: the one at hand is tried again after it."""


Outcome = Literal["published", "superseded"]


class FileWriter:
    """Writes one new data file of a day; it belongs to no version until it is committed. No rows, no file.

    Vectors lie plain (no dictionary, statistics or compression, which cost time and save nothing on them); the rest
    is compressed with zstd, where values repeat as places in a dictionary. Pages carry checksums: without them half of
    single bit flips go unseen.
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
        self._held: list[pa.RecordBatch] = []
        self._rows = self._written = 0
        folder = f"{table.name}/{table.partition}={day.isoformat()}" if day is not None else table.name
        self._path = f"{folder}/part-{uuid.uuid4().hex}-{{crc}}.parquet"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self._held.append(batch.select(self._schema.names).cast(self._schema))
        self._rows += batch.num_rows
        for name, seen in self._constants.items():
            seen.update(batch.column(name).unique().to_pylist())
        if self._rows - self._written >= ROW_GROUP:
            self._flush()

    def through(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches on to another reader while they are written."""
        for batch in batches:
            self.write(batch)
            yield batch

    def close(self) -> DataFile | None:
        """The finished file, None if no row was written."""
        if self._held:
            self._flush()
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

    def _flush(self) -> None:
        """Write a row group of the batches in hand, without joining them first."""
        if self._writer is None:
            self._writer = self._open()
        self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
        self._held.clear()
        self._written = self._rows

    def _open(self) -> pq.ParquetWriter:
        vectors = [field.name for field in self._schema if pa.types.is_list(field.type)]
        plain = [field.name for field in self._schema if field.name not in vectors]
        self._stream = self._stack.enter_context(self._storage.create(self._path, sync=False))
        return self._stack.enter_context(
            pq.ParquetWriter(
                self._stream,
                self._schema,
                compression={**dict.fromkeys(plain, "zstd"), **{f"{name}.list.element": "none" for name in vectors}},
                use_dictionary=[name for name in plain if name not in (*self._table.keys, "content_sha256")],
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


def write_entry(
    storage: Storage, snapshot: Snapshot, removed: Sequence[DataFile], staged: Sequence[DataFile], name: str
) -> None:
    """Write the log entry of the version after the snapshot's, a commit of that name; raises where there is one."""
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
    handle = open_delta(storage, snapshot)
    schema = handle.schema()
    if missing := _missing(schema, snapshot.table):
        told = CommitProperties(
            {COMMIT: uuid.uuid4().hex, ACTIONS: "1", SEAL: _widened(snapshot, missing)}, max_commit_retries=0
        )
        handle.alter.add_columns(missing, commit_properties=told)
        storage.sync(log_entry(snapshot.table.name, snapshot.version + 1))
        raise _ColumnsAdded
    handle.create_write_transaction(
        actions,
        mode="append",
        schema=schema,
        partition_by=[snapshot.table.partition] if snapshot.table.partition else [],
        commit_properties=CommitProperties(
            {
                COMMIT: name,
                ACTIONS: str(len(actions)),
                SEAL: seal(snapshot.definition, after(snapshot, removed, staged)),
            },
            max_commit_retries=0,
        ),
    )


WriteEntry = Callable[[Storage, Snapshot, Sequence[DataFile], Sequence[DataFile], str], None]


def commit(
    storage: Storage,
    snapshot: Snapshot,
    days: Sequence[date | None],
    staged: Sequence[DataFile],
    *,
    allow_empty: bool = False,
    alone: bool = False,
    write: WriteEntry | None = None,
) -> Outcome:
    """Make the staged files the whole contents of the days, if the days are still as the snapshot saw them.

    Returns "superseded", and removes the staged files, when another writer changed one of the days meanwhile;
    ``alone``: or any other day of the table. Raises EmptyDay when a day with rows would be left without any and
    ``allow_empty`` is not given. ``write``: in place of ``write_entry``.
    """
    before = {day: snapshot.of(day) for day in days}
    filled = {file.day for file in staged}
    emptied = [day for day in days if before[day] and day not in filled]
    if emptied and not allow_empty:
        named = ", ".join(str(day) for day in emptied)
        raise EmptyDay(
            f"table {snapshot.table.name!r}: this would leave no rows in {named}, which has rows now. "
            "If that is meant, say --allow-empty"
        )
    removed = [file for day in days for file in before[day]]
    if not staged and not removed:
        return "published"
    return _swap(storage, snapshot, None if alone else days, removed, staged, write=write)


def commit_days(storage: Storage, snapshot: Snapshot, staged: Mapping[date, Sequence[DataFile]]) -> frozenset[date]:
    """Make the staged files the whole contents of their days, by one commit; without files a day has no rows then.

    Returns the days that another writer changed since the snapshot: they are left out, and their files removed.
    """
    days = list(staged)
    late: set[date] = set()
    while days:
        removed = [file for day in days for file in snapshot.of(day)]
        added = [file for day in days for file in staged[day]]
        if not removed and not added:
            break
        if _swap(storage, snapshot, days, removed, added, keep=True) == "published":
            break
        now = open_snapshot(storage, snapshot.table)
        changed = [day for day in days if _paths(now, [day]) != _paths(snapshot, [day])]
        discard(storage, [file for day in changed for file in staged[day]])
        late.update(changed)
        days = [day for day in days if day not in late]
    return frozenset(late)


def take_out(storage: Storage, snapshot: Snapshot, files: Sequence[DataFile]) -> Outcome:
    """Remove files from the newest version of a table, whatever their rows are: for what is damaged."""
    return _swap(storage, snapshot, sorted({file.day for file in files}, key=str), files, [])


def append(storage: Storage, table: Table, rows: pa.Table, day: date | None = None) -> None:
    """Add rows beside what is there: for tables of events (runs, quarantine), never for a day's contents."""
    file = write_file(storage, table, day, rows)
    if file is not None:
        _swap(storage, open_snapshot(storage, table), [], [], [file])


def commit_rows(storage: Storage, snapshot: Snapshot, rows: pa.Table, day: date | None = None) -> bool:
    """Add rows (of one day) if the day is still as the snapshot saw it; False if another writer changed it meanwhile.

    Without a day, the whole table must be as it was.
    """
    file = write_file(storage, snapshot.table, day, rows)
    if file is None:
        return True
    return _swap(storage, snapshot, [day], [], [file]) == "published"


def _swap(
    storage: Storage,
    snapshot: Snapshot,
    days: Sequence[date | None] | None,
    removed: Sequence[DataFile],
    staged: Sequence[DataFile],
    *,
    keep: bool = False,
    write: WriteEntry | None = None,
) -> Outcome:
    """One commit, tried again while it is other days (than ``days``; None: all) that other writers change.

    The staged files are removed where it is superseded, unless the caller is to ``keep`` them.
    """
    name = uuid.uuid4().hex
    current = snapshot if snapshot.version >= 0 else create_table(storage, snapshot.table)
    for attempt in range(ATTEMPTS):
        if _paths(current, days) != _paths(snapshot, days):
            if not keep:
                discard(storage, staged)
            return "superseded"
        try:
            if not attempt:
                storage.sync_files([file.path for file in staged])
            (write or write_entry)(storage, current, removed, staged, name)
        except Exception as error:
            # Opened before the entry is read: what lands in between shows as a newer version, never as another's.
            now = open_snapshot(storage, snapshot.table)
            if now.version > current.version and _is_live(storage, current, name):
                break
            if now.version == current.version or attempt == ATTEMPTS - 1:
                if not storage.remote:  # a request to S3 may still arrive, and would name files that are gone
                    discard(storage, staged)
                if isinstance(error, (OSError, DeltaError)):
                    raise WriteFailed(storage, snapshot.table, error) from error
                raise
            current = now
        else:
            break
    with suppress(FileNotFoundError):
        storage.sync(log_entry(snapshot.table.name, current.version + 1))
    committed(storage, current, name, removed, staged)
    return "published"


def _paths(snapshot: Snapshot, days: Sequence[date | None] | None) -> set[str]:
    return {file.path for file in snapshot.files if days is None or file.day in days}


def _is_live(storage: Storage, before: Snapshot, name: str) -> bool:
    """Whether the commit of that name made the version after this one."""
    return read_commit(storage, before.table.name, before.version + 1).get(COMMIT) == name


def discard(storage: Storage, staged: Sequence[DataFile]) -> None:
    """Remove files that no version will name. Failing at that changes nothing but the space they take."""
    for file in staged:
        with suppress(OSError):
            storage.delete(file.path)


def _widened(snapshot: Snapshot, missing: Sequence[Field]) -> str:
    """The seal of a table with these columns beside those it has."""
    told = json.loads(snapshot.definition)
    fields = [*told["fields"], *(json.loads(field.to_json()) for field in missing)]
    return seal(define(fields, told["partition"], told["description"], told["configuration"]), snapshot.files)


def _missing(schema: Schema, table: Table) -> list[Field]:
    """The columns that a table in the lake lacks. Rows written before read as null there, so only nullable ones may be.

    Raises OtherColumns for every other difference, and for a column that an extractor computes.
    """
    there = {field.name: field for field in schema.fields}
    wanted = {field.name: field for field in Schema.from_arrow(table.arrow).fields}
    missing = [field for name, field in wanted.items() if name not in there]
    others = {name for name, field in there.items() if wanted.get(name) != field}
    others |= {field.name for field in missing if not field.nullable or table.column(field.name).value}
    if others:
        raise OtherColumns(
            f"table {table.name!r} in the lake has other columns ({', '.join(there)}) than this otzyv writes "
            f"({', '.join(wanted)}); they differ in {', '.join(sorted(others))}: a lake that a newer otzyv has written "
            "to needs that one, and an extractor's new columns are a new table name"
        )
    return missing


def _partition(table: Table, file: DataFile) -> dict[str, str | None]:
    if table.partition is None or file.day is None:
        return {}
    return {table.partition: file.day.isoformat()}


def _statistics(file: DataFile) -> str:
    known = {name: value for name in STATISTICS if (value := getattr(file, name)) is not None}
    return json.dumps(
        {"numRecords": file.rows, "minValues": known, "maxValues": known, "nullCount": dict.fromkeys(known, 0)}
    )
