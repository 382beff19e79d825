"""The lake is the cache: rows already computed are found by content and fingerprint, and kept.

A day's rows come from three places: the day as it stands (and the former day of reviews that moved), chunks staged by
a run that died, and chunks computed now. All are Parquet files; only where each content lies is held in memory, so
that a day's size does not show in the memory it takes.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table
from schemas.tables import FINAL, TRANSIENT
from tasks.lake.snapshot import CorruptFile, DataFile
from tasks.lake.storage import Storage

SLICE = 4096
_OPEN_GROUPS = 6
Place = tuple[int, int, int]
"""File, row group, row in the group."""


KEPT = 2 * 24 * 3600.0
"""Seconds after which staged chunks that no run has taken up go, whatever made them."""


class ChunkGone(RuntimeError):
    """Another run of the same day, which had taken up this run's staged chunks, has ended: begin again."""


class Shelf:
    """The computed contents of one table and day, by their sha256."""

    def __init__(self, storage: Storage, table: Table, day: date, fingerprint: str) -> None:
        self._storage = storage
        self._table = table
        self._day = day
        self._fingerprint = fingerprint
        self._folder = f"_staging/{table.name}/{day.isoformat()}/{fingerprint[:16]}"
        self._columns = ["status", *(column.name for column in table.values)]
        self._schema = pa.schema([table.arrow.field(name) for name in self._columns])
        self._files: list[str] = []
        self._places: dict[str, Place] = {}
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._staged: list[str] = []
        self.computed: set[str] = set()
        self.passing = False
        """Whether a content computed now met a passing fault."""

    def __contains__(self, content_sha256: str) -> bool:
        return content_sha256 in self._places

    def take_over(self, files: Iterable[DataFile]) -> None:
        """Keep the rows of published files that were made with the same fingerprint and ended finally."""
        for file in files:
            if file.fingerprint in (None, self._fingerprint):
                self._index(file.path, trust_fingerprint=file.fingerprint == self._fingerprint)

    def resume(self) -> int:
        """Take up the chunks that a run which died had staged; returns how many. A cut off chunk is dropped."""
        count = 0
        for path in self._storage.files(self._folder):
            try:
                self._index(path, trust_fingerprint=True)
            except ChunkGone:
                continue
            except CorruptFile:
                self._storage.delete(path)
                continue
            self._staged.append(path)
            count += 1
        return count

    def add(self, batch: pa.RecordBatch) -> None:
        """Stage a chunk of contents computed now: content_sha256, status, then the table's value columns."""
        # Arrow's own format costs nothing to write or map. A staged chunk need not survive a loss of power: what was
        # lost is computed again, and what was torn fails its checksum.
        path = f"{self._folder}/{uuid.uuid4().hex}-{{crc}}.arrow"
        with self._storage.create(path, sync=False) as stream, pa.ipc.new_file(stream, batch.schema) as writer:
            writer.write_batch(batch)
        self._staged.append(stream.path)
        self._files.append(stream.path)
        self.passing |= not set(batch.column("status").unique().to_pylist()).isdisjoint(TRANSIENT)
        for row, sha in enumerate(batch.column("content_sha256").to_pylist()):
            self._places[sha] = (len(self._files) - 1, 0, row)
            self.computed.add(sha)

    def clear(self) -> None:
        """Remove the chunks this run staged or took up, once it has ended; others' stay, unless they are long dead.

        Never raises: what is left takes space, but does no harm.
        """
        with suppress(OSError):
            for path in self._staged:
                self._storage.delete(path)
            sweep(self._storage, self._table, self._day)

    def rows(
        self, keys: pa.Table, run_key: str, invalid: Mapping[tuple[object, ...], str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The table's rows, in the order of ``keys`` (the key columns, content_sha256 and status), slice by slice.

        A key named in ``invalid`` gets that status and null values.
        """
        for start in range(0, keys.num_rows, SLICE):
            part = keys.slice(start, SLICE).combine_chunks()
            values = self._take(part.column("content_sha256").to_pylist(), part.column("status").to_pylist())
            if invalid:
                named = zip(*(part.column(key).to_pylist() for key in self._table.keys), strict=True)
                values = _without(values, np.array([key in invalid for key in named]))
            columns = {
                **{name: part.column(name) for name in (*self._table.keys, "content_sha256")},
                "fingerprint": pa.repeat(self._fingerprint, part.num_rows),
                "run_key": pa.repeat(run_key, part.num_rows),
                **{name: values.column(name) for name in self._columns},
                "day": pa.repeat(pa.scalar(self._day, pa.date32()), part.num_rows),
            }
            arrays = [columns[field.name].cast(field.type) for field in self._table.arrow]
            yield from pa.Table.from_arrays(arrays, schema=self._table.arrow).combine_chunks().to_batches()

    def _index(self, path: str, *, trust_fingerprint: bool) -> None:
        number = len(self._files)
        wanted = ["content_sha256", "status", *([] if trust_fingerprint else ["fingerprint"])]
        groups = self._read(path, wanted)
        self._files.append(path)
        for group, table in enumerate(groups):
            keep = pc.and_(pc.is_in(table["status"], pa.array(FINAL)), pc.is_valid(table["content_sha256"]))
            if not trust_fingerprint:
                keep = pc.and_(keep, pc.equal(table["fingerprint"], self._fingerprint))
            shas = table["content_sha256"].to_pylist()
            for row in np.flatnonzero(keep.to_numpy()).tolist():
                self._places[shas[row]] = (number, group, row)

    def _group(self, file: int, group: int) -> pa.Table:
        key = (file, group)
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key]
        (table,) = self._read(self._files[file], self._columns, group)
        self._groups[key] = table.select(self._columns).cast(self._schema)
        if len(self._groups) > _OPEN_GROUPS:
            self._groups.popitem(last=False)
        return self._groups[key]

    def _read(self, path: str, columns: Sequence[str], group: int | None = None) -> list[pa.Table]:
        """The row groups of a published file or a staged chunk, or one of them."""
        try:
            if path.endswith(".arrow"):
                return [self._storage.arrow(path).select(columns)]
            with self._storage.parquet(path) as parquet:
                which = range(parquet.num_row_groups) if group is None else [group]
                return [parquet.read_row_group(number, columns=columns) for number in which]
        except FileNotFoundError as error:
            if path.endswith(".arrow"):
                raise ChunkGone(f"{self._storage.at(path)}: another run of this day has ended meanwhile") from error
            raise CorruptFile(f"{self._storage.at(path)}: {error}") from error
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptFile(f"{self._storage.at(path)}: {error}") from error

    def _take(self, contents: Sequence[str | None], statuses: Sequence[str]) -> pa.Table:
        """Status and values for each content; a row without content keeps its own status and has null values."""
        wanted: dict[tuple[int, int] | None, list[tuple[int, int]]] = {}
        for position, (sha, status) in enumerate(zip(contents, statuses, strict=True)):
            if sha is None or status != "ok":
                wanted.setdefault(None, []).append((position, position))
            else:
                file, group, row = self._places[sha]
                wanted.setdefault((file, group), []).append((position, row))
        pieces: list[pa.Table] = []
        order: list[int] = []
        for key, found in wanted.items():
            positions, rows = zip(*found, strict=True)
            order += positions
            pieces.append(self._valueless([statuses[row] for row in rows]) if key is None else
                          _rows(self._group(*key), rows))  # fmt: skip
        table = pa.concat_tables(pieces)
        return table if order == sorted(order) else table.take(pa.array(np.argsort(order), pa.int64()))

    def _valueless(self, statuses: Sequence[str]) -> pa.Table:
        columns = {name: pa.nulls(len(statuses), self._schema.field(name).type) for name in self._columns}
        return pa.table(columns | {"status": pa.array(statuses, pa.string())}, schema=self._schema)


def sweep(storage: Storage, table: Table, day: date) -> None:
    """Remove what dead runs staged for a day and nobody has taken up, and folders that are empty."""
    home = f"_staging/{table.name}/{day.isoformat()}"
    for path, changed in storage.changed(home).items():
        if time.time() - changed > KEPT:
            storage.delete(path)
    storage.prune(home)


def _rows(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Rows by number; rows that follow one another are not copied."""
    if rows[-1] - rows[0] == len(rows) - 1 and list(rows) == list(range(rows[0], rows[-1] + 1)):
        return table.slice(rows[0], len(rows))
    return table.take(pa.array(rows, pa.int64()))


def _without(values: pa.Table, failed: np.ndarray) -> pa.Table:
    """The same rows, but those that failed a check have status ``invalid`` and null values."""
    if not failed.any():
        return values
    mask = pa.array(failed)
    columns = [
        pc.if_else(mask, pa.scalar("invalid", field.type), values.column(field.name))
        if field.name == "status"
        else pc.if_else(mask, pa.scalar(None, field.type), values.column(field.name))
        for field in values.schema
    ]
    return pa.Table.from_arrays(columns, schema=values.schema)
