"""The lake is the cache: rows already computed are found by content and fingerprint, and kept.

A day's rows come from three places: the day as it stands (and the former day of reviews that moved), chunks staged by
a run that died, and chunks computed now. All are Parquet files; only where each content lies is held in memory, so
that a day's size does not show in the memory it takes.
"""

from __future__ import annotations

import time
import uuid
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import LakeError
from otzyv.schemas.table import Table
from otzyv.schemas.tables import FINAL, TRANSIENT
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile
from otzyv.tasks.lake.delta.storage import Storage

SLICE = 4096
HELD_SECONDS = 1.0
"""How much of its work a run that is killed may lose: chunks that come faster are staged together."""
STAGING = "_staging"
KEPT = 2 * 24 * 3600.0
"""Seconds without a new chunk after which those that a run staged, and none has taken up, are a dead run's."""
_OPEN_GROUPS = 6


class ChunkGone(LakeError):
    """Another run of the same day, which had taken up this run's staged chunks, has ended: begin again."""


class RowCache:
    """The computed contents of one table, by their sha256. ``day``: the first of those that are made of them."""

    def __init__(self, storage: Storage, table: Table, day: date, fingerprint: str) -> None:
        self._storage = storage
        self._table = table
        self._day = day
        self._fingerprint = fingerprint
        self._folder = f"{STAGING}/{table.name}/{day.isoformat()}/{fingerprint[:16]}"
        self._columns = ["status", *(column.name for column in table.values)]
        self._schema = pa.schema([table.arrow.field(name) for name in self._columns])
        self._groups: list[tuple[str, int]] = []
        """Every row group on the shelf: its file, and its number in there."""
        self._starts: list[int] = []
        """The number of each group's first row; rows are numbered through all groups."""
        self._end = 0
        self._places: dict[str, int] = {}
        self._open: OrderedDict[int, pa.Table] = OrderedDict()
        self._staged: list[str] = []
        self._held: list[pa.RecordBatch] = []
        self._staged_at = time.monotonic()
        self.computed: set[str] = set()
        self.passing: set[str] = set()
        """Contents computed now that met a passing fault."""

    def __contains__(self, content_sha256: object) -> bool:
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
        """Take a chunk of contents computed now: content_sha256, status, then the table's value columns.

        It is staged at once if the last staging was ``HELD_SECONDS`` ago, else with those that follow soon.
        """
        contents = batch.column("content_sha256").to_pylist()
        passing = pc.is_in(batch.column("status"), pa.array(TRANSIENT))
        self.passing.update(batch.column("content_sha256").filter(passing).to_pylist())
        first = self._end + sum(held.num_rows for held in self._held)
        self._places.update(zip(contents, range(first, first + batch.num_rows), strict=True))
        self.computed.update(contents)
        self._held.append(batch)
        rows = first + batch.num_rows - self._end
        if rows >= SLICE or time.monotonic() - self._staged_at >= HELD_SECONDS:
            self.stage()

    def stage(self) -> None:
        """Stage the chunks in hand, as one file."""
        if not self._held:
            return
        # Arrow's own format costs nothing to write or map. A staged chunk need not survive a loss of power: what was
        # lost is computed again, and what was torn fails its checksum.
        path = f"{self._folder}/{uuid.uuid4().hex}-{{crc}}.arrow"
        schema = self._held[0].schema
        with self._storage.create(path, sync=False) as stream, pa.ipc.new_file(stream, schema) as writer:
            for batch in self._held:
                writer.write_batch(batch)
        self._staged.append(stream.path)
        self._place(stream.path, 0, sum(batch.num_rows for batch in self._held))
        self._held.clear()
        self._staged_at = time.monotonic()

    def vector(self, content_sha256: str) -> np.ndarray:
        """The embedding of a content: float32 (dim,)."""
        place = self._places[content_sha256]
        number = bisect_right(self._starts, place) - 1
        # Copied, since a view would hold its whole row group in memory.
        return np.array(self._group(number)["embedding"][place - self._starts[number]].values, np.float32)

    def clear(self) -> None:
        """Remove the chunks this run staged or took up, once it has ended; others' stay, unless they are long dead.

        Never raises: what is left takes space, but does no harm.
        """
        with suppress(OSError):
            for path in self._staged:
                self._storage.delete(path)
            sweep(self._storage, self._table, self._day)

    def rows(
        self, day: date, keys: pa.Table, run_key: str, invalid: Mapping[tuple[object, ...], str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """A day's rows, in the order of ``keys`` (the key columns, content_sha256 and status), slice by slice.

        A key named in ``invalid`` gets that status and null values.
        """
        self.stage()
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
                "day": pa.repeat(pa.scalar(day, pa.date32()), part.num_rows),
            }
            arrays = [columns[field.name].cast(field.type) for field in self._table.arrow]
            # Cut where staged chunks end: vectors are then written from where they lie, and copied nowhere.
            yield from pa.Table.from_arrays(arrays, schema=self._table.arrow).to_batches()

    def _index(self, path: str, *, trust_fingerprint: bool) -> None:
        wanted = ["content_sha256", "status", *([] if trust_fingerprint else ["fingerprint"])]
        for group, table in enumerate(self._read(path, wanted)):
            keep = pc.and_(pc.is_in(table["status"], pa.array(FINAL)), pc.is_valid(table["content_sha256"]))
            if not trust_fingerprint:
                keep = pc.and_(keep, pc.equal(table["fingerprint"], self._fingerprint))
            kept = np.flatnonzero(keep.to_numpy())
            self._places.update(
                zip(table["content_sha256"].take(kept).to_pylist(), (self._end + kept).tolist(), strict=True)
            )
            self._place(path, group, table.num_rows)

    def _place(self, path: str, group: int, rows: int) -> None:
        self._groups.append((path, group))
        self._starts.append(self._end)
        self._end += rows

    def _group(self, number: int) -> pa.Table:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        path, group = self._groups[number]
        (table,) = self._read(path, self._columns, group)
        self._open[number] = table.select(self._columns).cast(self._schema)
        if len(self._open) > _OPEN_GROUPS:
            self._open.popitem(last=False)
        return self._open[number]

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
            raise CorruptFile(self._storage, path, error) from error
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptFile(self._storage, path, error) from error

    def _take(self, contents: Sequence[str | None], statuses: Sequence[str]) -> pa.Table:
        """Status and values for each content; a row without content keeps its own status and has null values."""
        places = np.array(
            [
                self._places[sha] if sha is not None and status == "ok" else -1
                for sha, status in zip(contents, statuses, strict=True)
            ],
            np.int64,
        )
        groups = np.searchsorted(self._starts, places, side="right") - 1
        pieces, order = [], []
        for number in np.unique(groups):  # -1: without content
            positions = np.flatnonzero(groups == number)
            order.append(positions)
            if number < 0:
                pieces.append(self._valueless([statuses[position] for position in positions.tolist()]))
            else:
                pieces.append(_rows(self._group(number), places[positions] - self._starts[number]))
        table, positions = pa.concat_tables(pieces), np.concatenate(order)
        return table if (np.diff(positions) == 1).all() else table.take(np.argsort(positions))

    def _valueless(self, statuses: Sequence[str]) -> pa.Table:
        columns = {name: pa.nulls(len(statuses), self._schema.field(name).type) for name in self._columns}
        return pa.table(columns | {"status": pa.array(statuses, pa.string())}, schema=self._schema)


def dead(storage: Storage, home: str = STAGING) -> Iterator[str]:
    """Chunks that dead runs staged in a folder; of a live run the newest is young, and keeps the others."""
    folders: dict[str, dict[str, float]] = {}
    for path, changed in storage.changed(home).items():
        folders.setdefault(path.rpartition("/")[0], {})[path] = changed
    for chunks in folders.values():
        if time.time() - max(chunks.values()) > KEPT:
            yield from chunks


def sweep(storage: Storage, table: Table, day: date) -> None:
    """Remove what dead runs staged for a day and nobody has taken up, and folders that are empty."""
    home = f"{STAGING}/{table.name}/{day.isoformat()}"
    for path in dead(storage, home):
        storage.delete(path)
    storage.prune(home)


def _rows(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Rows by number; rows that follow one another are not copied."""
    if (np.diff(rows) == 1).all():
        return table.slice(rows[0], len(rows))
    return table.take(rows)


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
