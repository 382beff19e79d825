"""Tables put side by side: one row per review, of attachments a list or their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import InvalidInput
from otzyv.schemas.table import Table

Pool = Literal["mean"]
"""How the rows of a review's attachments become one."""

REVIEW = ("review_id", "day")
"""What names a review in released rows: one that moved stands in both days until the first is released again."""
NOT_VALUES = ("review_id", "position", "content_sha256", "fingerprint", "run_key", "status", "day")


def joined(tables: Sequence[Table], parts: Sequence[pa.Table], pool: Pool | None = None) -> pa.Table:
    """A row per review of a day, sorted by review_id and day; columns are named ``table.column``.

    A table with a row per attachment gives a list per review, in the order of its positions. With ``pool="mean"`` its
    vectors and numbers give their mean over the attachments with status ok, null where there is none.
    """
    sides = [_per_review(part, pool) if attached(table) else part for table, part in zip(tables, parts, strict=True)]
    ids, places = _matched(sides)
    columns = {"review_id": ids}
    for table, side, rows in zip(tables, sides, places, strict=True):
        taken = side.drop_columns([*REVIEW] if attached(table) else ["review_id"]).take(rows)
        columns |= {f"{table.name}.{name}": taken[name] for name in taken.column_names}
    return pa.table(columns)


def attached(table: Table) -> bool:
    """Whether the table has a row per attachment."""
    return "position" in table.keys


def per_review(part: pa.Table, pool: Pool | None) -> pa.Table:
    """A row per review of a day of a table with a row per attachment; ``day`` is left out."""
    return _per_review(part, pool).drop_columns(["day"])


def _per_review(part: pa.Table, pool: Pool | None) -> pa.Table:
    part = part.sort_by([(name, "ascending") for name in (*REVIEW, "position")])
    starts = _starts(part)
    bounds = np.append(starts, part.num_rows).astype(np.int32)
    columns = {name: _column(part, name, bounds, pool) for name in part.column_names if name not in REVIEW}
    return pa.table({**{name: part[name].take(starts) for name in REVIEW}, **columns})


def _starts(rows: pa.Table) -> np.ndarray:
    """The row with which each review of a day begins, in rows that are sorted by them."""
    if not rows.num_rows:
        return np.zeros(0, np.int64)
    new = np.zeros(rows.num_rows, bool)
    new[0] = True
    for name in REVIEW:
        column = rows[name].combine_chunks()
        new[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(new)


def _column(part: pa.Table, name: str, bounds: np.ndarray, pool: Pool | None) -> pa.Array:
    column = pa.concat_arrays(part[name].chunks) if part[name].num_chunks else pa.array([], part[name].type)
    if pool and "fingerprint" in part.column_names and name not in NOT_VALUES and _averaged(column.type):
        return _means(column, bounds)
    return pa.ListArray.from_arrays(pa.array(bounds), column)


def _averaged(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_):
        return bool(pa.types.is_floating(type_.value_type))
    return bool(pa.types.is_floating(type_) or pa.types.is_integer(type_))


def _means(column: pa.Array, bounds: np.ndarray) -> pa.Array:
    """Means within each span of rows. Values are there just where the status is ok, so nulls are the others."""
    valid = np.asarray(column.is_valid())
    good = column.filter(pa.array(valid))
    vectors = pa.types.is_list(column.type)
    numbers = np.asarray((good.flatten() if vectors else good).to_numpy(zero_copy_only=False), np.float64)
    if vectors:
        lengths = set(np.diff(good.offsets.to_numpy()).tolist())
        if len(lengths) > 1:
            raise InvalidInput(f"vectors of {sorted(lengths)} numbers have no mean; leave pool out for this table")
    matrix = numbers.reshape(len(good), -1) if len(good) else np.zeros((0, 1))
    owners = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))[valid]
    counts = np.bincount(owners, minlength=len(bounds) - 1)
    sums = np.zeros((len(bounds) - 1, matrix.shape[1]))
    np.add.at(sums, owners, matrix)
    means = sums[counts > 0] / counts[counts > 0, None]
    places = pa.array(np.where(counts > 0, np.cumsum(counts > 0) - 1, -1), mask=counts == 0)
    if not vectors:
        return pa.array(means[:, 0], pa.float64()).take(places)
    offsets = pa.array(np.arange(len(means) + 1) * matrix.shape[1], pa.int32())
    flat = pa.array(means.reshape(-1), column.type.value_type)
    return pa.ListArray.from_arrays(offsets, flat).take(places)


def _matched(sides: Sequence[pa.Table]) -> tuple[pa.ChunkedArray, list[pa.Array]]:
    """The ids of the reviews that any side has, in order, and for each side the row of each, null where it has none.

    Arrow's own join refuses list columns and keeps no order. So the keys of all sides are sorted together, each with
    the place that it came from.
    """
    keys = []
    for number, side in enumerate(sides):
        places = {"side": np.full(side.num_rows, number), "row": np.arange(side.num_rows)}
        keys.append(pa.table({name: side[name] for name in REVIEW} | places))
    together = pa.concat_tables(keys).sort_by([(name, "ascending") for name in REVIEW])
    starts = _starts(together)
    review = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, together.num_rows)))
    rows = np.full((len(sides), len(starts)), -1)
    rows[together["side"].to_numpy(), review] = together["row"].to_numpy()
    if np.count_nonzero(rows >= 0) < together.num_rows:
        raise InvalidInput(
            "a table holds a review twice in one day; make that day again: otzyv backfill --what again --day DAY"
        )
    return together["review_id"].take(starts), [pa.array(each, mask=each < 0) for each in rows]
