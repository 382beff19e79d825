"""Flat facts about a table's rows: what the checks judge instead of vectors and texts.

A vector becomes its length, whether it is finite, and its norm; a text becomes whether it is there; a label becomes its
place in the label set. A batch is reduced as it comes, so memory holds a few bytes of each row, whatever the vectors
weigh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Column, Table

Numbers = np.ndarray[Any, Any]

RULES = ("required", "label", "null_by_status", "dim", "below", "ascending", "length", "finite", "unit", "range")
"""What is judged of one row's value of one column, in this order."""


def rules(column: Column) -> tuple[str, ...]:
    """The names of ``RULES`` that hold for a column.

    A vector with a wrong length is judged by ``dim`` alone (one with places by ``length``), a vector or number that is
    not finite by ``finite`` alone, and a value beside an unknown status by the status's ``label`` alone: one fault, one
    name.
    """
    vector = column.dim is not None or column.places is not None
    bounded = column.low is not None or column.high is not None
    holds = {
        "required": column.required,
        "label": column.labels is not None,
        "null_by_status": column.value,
        "dim": column.dim is not None,
        "below": column.size is not None,
        "ascending": column.size is not None,
        "length": column.places is not None,
        "finite": vector or pa.types.is_floating(column.type),
        "unit": vector and column.unit,
        "range": bounded and not vector,
    }
    return tuple(rule for rule in RULES if holds[rule])


def facts(table: Table, batch: pa.RecordBatch) -> dict[tuple[str, str], Numbers]:
    """One number per row for each (column, rule) of ``table``; the batch has the table's schema.

    ``required``, ``null_by_status``, ``finite``, ``below``, ``ascending`` and ``length`` are 1 where the rule is kept,
    else 0. ``label`` is the place in the label set, its length for another value, -1 for null. ``dim`` (the length),
    ``unit`` (the norm) and ``range`` (the value) are NaN where there is nothing to judge.
    """
    found = {}
    for column in table.columns:
        array = batch.column(column.name)
        for rule, numbers in _column(table, column, array, batch):
            found[column.name, rule] = numbers
    return found


def _column(table: Table, column: Column, array: pa.Array, batch: pa.RecordBatch) -> Iterator[tuple[str, Numbers]]:
    judged = rules(column)
    if "required" in judged:
        yield "required", _flags(array.is_valid())
    if column.labels is not None:
        yield "label", _places(array, column.labels)
    if "null_by_status" in judged:
        yield "null_by_status", _kept(array, batch.column("status"), table.column("status").labels or ())
    if column.dim is not None:
        lengths, finite, norms = vectors(array, column.dim)
        yield "dim", lengths
        yield "finite", finite
        if column.unit:
            yield "unit", norms
        return
    if column.size is not None:
        yield from zip(("below", "ascending"), places(array, column.size), strict=True)
    if column.places is not None:
        same, finite, norms = sparse(array, batch.column(column.places))
        yield "length", same
        yield "finite", finite
        if column.unit:
            yield "unit", norms
        return
    if "finite" in judged:
        yield "finite", _flags(pc.is_finite(array).fill_null(True))
    if "range" in judged:
        numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        yield "range", np.where(np.isfinite(numbers), numbers, np.nan)


def _flags(array: pa.Array) -> Numbers:
    return np.asarray(array.cast(pa.int8()).to_numpy(zero_copy_only=False))


def _places(array: pa.Array, labels: tuple[str, ...]) -> Numbers:
    places = pc.index_in(array, value_set=pa.array(labels, array.type)).fill_null(len(labels))
    return np.asarray(pc.if_else(array.is_valid(), places, -1).to_numpy(zero_copy_only=False))


def _kept(array: pa.Array, status: pa.Array, labels: tuple[str, ...]) -> Numbers:
    """1 where there is a value just if the status is ok, and where the status itself is none that we know."""
    ok = pc.equal(status, "ok").fill_null(False)
    unknown = pc.invert(pc.is_in(status, value_set=pa.array(labels, status.type)))
    return _flags(pc.or_(unknown, pc.equal(array.is_valid(), ok)))


def vectors(array: pa.ListArray, dim: int) -> tuple[Numbers, Numbers, Numbers]:
    """Of a list array with n rows: lengths (n,) float32, finite (n,) int8, Euclidean norms (n,) float64.

    Lengths are NaN where the row is null. Only vectors of length ``dim`` are looked into: finite is 1 for all others,
    norms are NaN for them and for what is not finite. A null inside a vector is not finite.
    """
    offsets = array.offsets.to_numpy()
    spans = np.diff(offsets)
    there = array.is_valid().to_numpy(zero_copy_only=False)
    whole = spans == dim
    norms, finite = np.full(len(array), np.nan), np.ones(len(array), bool)
    rows = _rows(array, offsets, whole, dim)
    with np.errstate(over="ignore", invalid="ignore"):
        # the sum of squares tells of every NaN and infinity in one pass; what overflowed is looked at again
        squares = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
        odd = np.flatnonzero(~np.isfinite(squares))
        exact = rows[odd].astype(np.float64)
        squares[odd] = np.where(np.isfinite(exact).all(axis=1), np.square(exact).sum(axis=1), np.nan)
    norms[whole] = np.sqrt(squares)
    finite[whole] = ~np.isnan(squares)
    norms[~there], finite[~there] = np.nan, True
    return np.where(there, spans, np.nan).astype(np.float32), finite.astype(np.int8), norms


def _rows(array: pa.ListArray, offsets: Numbers, whole: Numbers, dim: int) -> Numbers:
    """The vectors of length ``dim`` as a matrix: a view where only empty ones lie between them, else a copy."""
    starts = offsets[:-1][whole] - offsets[0]
    values = np.asarray(array.values.slice(offsets[0], offsets[-1] - offsets[0]).to_numpy(zero_copy_only=False))
    if len(starts) * dim == len(values):
        return values.reshape(len(starts), dim)
    return np.asarray(values[starts[:, None] + np.arange(dim)])


def places(array: pa.ListArray, size: int) -> tuple[Numbers, Numbers]:
    """Of lists of places: whether all are from 0 to ``size`` - 1, and whether they ascend; each (n,) int8.

    A null among the places is not below; null rows keep both rules.
    """
    numbers, owners = _items(array)
    with np.errstate(invalid="ignore"):
        outside = ~((numbers >= 0) & (numbers < size))
        falling = (np.diff(numbers) <= 0) & (np.diff(owners) == 0)
    return _clear_of(array, owners[outside]), _clear_of(array, owners[1:][falling])


def sparse(array: pa.ListArray, places: pa.ListArray) -> tuple[Numbers, Numbers, Numbers]:
    """Of values that stand at places: whether they are as many (n,) int8, finite (n,) int8, norms (n,) float64.

    Only rows with as many are looked into: finite is 1 for all others, and norms are NaN for them, for what is not
    finite and where there are no values. A null on either side keeps every rule.
    """
    there = pc.and_(array.is_valid(), places.is_valid()).to_numpy(zero_copy_only=False)
    spans = np.diff(array.offsets.to_numpy())
    fit = there & (spans == np.diff(places.offsets.to_numpy()))
    numbers, owners = _items(array)
    squares = np.bincount(owners, np.square(numbers.astype(np.float64)), minlength=len(array))
    finite = np.isfinite(squares)
    norms = np.where(fit & finite & (spans > 0), np.sqrt(squares), np.nan)
    return (fit | ~there).astype(np.int8), (finite | ~fit).astype(np.int8), norms


def _items(array: pa.ListArray) -> tuple[Numbers, Numbers]:
    """The items of all lists that are not null, a null item as NaN, and the row that each belongs to."""
    there = array.is_valid().to_numpy(zero_copy_only=False)
    spans = np.where(there, np.diff(array.offsets.to_numpy()), 0)
    return array.flatten().to_numpy(zero_copy_only=False), np.repeat(np.arange(len(array)), spans)


def _clear_of(array: pa.ListArray, faulty: Numbers) -> Numbers:
    flags = np.ones(len(array), np.int8)
    flags[faulty] = 0
    return flags


def key_numbers(keys: pa.Table) -> Numbers:
    """A number for each row (n,) int32, the same just where all columns are the same; null counts as a value."""
    numbers: Numbers | None = None
    for column in keys.columns:
        places, count = _distinct(column)
        if numbers is not None:  # numbered again with each column, so that the numbers stay small
            places, _ = _distinct(pa.chunked_array([numbers.astype(np.int64) * count + places]))
        numbers = places
    return np.zeros(keys.num_rows, np.int32) if numbers is None else numbers


def _distinct(values: pa.ChunkedArray) -> tuple[Numbers, int]:
    """The place of each value among the distinct ones, null included, and how many those are."""
    chunks = values.dictionary_encode(null_encoding="encode").chunks
    places = np.concatenate([np.zeros(0, np.int32), *(chunk.indices.to_numpy() for chunk in chunks)])
    return places, len(chunks[-1].dictionary) if chunks else 0


def value_numbers(chunks: Sequence[pa.DictionaryArray]) -> Numbers:
    """A number for each row (n,) float32, the same just where the value is the same; NaN where it is null."""
    encoded = pa.chunked_array(chunks).unify_dictionaries()
    return np.concatenate(
        [chunk.indices.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    )
