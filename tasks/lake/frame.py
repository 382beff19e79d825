"""Tables put side by side: one row per review, of attachments a list or their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from schemas.table import Table

Pool = Literal["mean"]
"""How the rows of a review's attachments become one."""

NOT_VALUES = ("review_id", "position", "content_sha256", "fingerprint", "run_key", "status", "day")


def joined(tables: Sequence[Table], parts: Sequence[pa.Table], pool: Pool | None = None) -> pa.Table:
    """Rows of tables joined by review_id; columns are named ``table.column``, and sorted by review_id.

    A table with a row per attachment gives a list per review, in the order of its positions. With ``pool="mean"`` its
    vectors and numbers give their mean over the attachments with status ok, null where there is none.
    """
    whole = pa.table({"review_id": pa.array([], pa.string())})
    for table, part in zip(tables, parts, strict=True):
        if attached(table):
            part = per_review(part, pool)
        part = part.rename_columns(
            [name if name == "review_id" else f"{table.name}.{name}" for name in part.column_names]
        )
        whole = _join(whole, part)
    return whole.sort_by("review_id")


def attached(table: Table) -> bool:
    """Whether the table has a row per attachment."""
    return "position" in table.keys


def per_review(part: pa.Table, pool: Pool | None) -> pa.Table:
    """One row per review of a table with a row per attachment; ``day`` is left out."""
    part = part.sort_by([("review_id", "ascending"), ("position", "ascending")])
    others = [name for name in part.column_names if name not in ("review_id", "day")]
    ends = part.group_by("review_id", use_threads=False).aggregate([([], "count_all")])
    bounds = np.array([0, *np.cumsum(ends["count_all"].to_numpy()).tolist()], np.int32)
    columns = {name: _column(part, name, bounds, pool) for name in others}
    return pa.table({"review_id": ends["review_id"], **columns})


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
            raise ValueError(f"vectors of {sorted(lengths)} numbers have no mean; leave pool out for this table")
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
