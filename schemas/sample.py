"""Made-up rows that keep every promise of a table: what tests and benchmarks work on."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Column, Table

SAMPLE_DAY = dt.date(2024, 3, 1)

_PHRASES = (
    "Спасибо за курс!",
    "Очень понятно объясняете.",
    "Задания скучные,",
    "но теория полезная.",
    "Бросил на третьей неделе:",
    "слишком быстро...",
    "Рекомендую всем новичкам",
    "Python и pandas с нуля",
    "Ну такое.",
    "Преподаватель — огонь 🔥",
)


def sample(table: Table, rows: int, seed: int, *, day: dt.date = SAMPLE_DAY) -> pa.Table:
    """``rows`` valid rows of ``table``, all of one ``day``; the same for the same seed.

    Keys are unique, sorted and the same for every seed. Every tenth row has a status other than the first of its
    labels, each in turn. Columns that may be null are null in about a tenth of the rows, value columns exactly where
    the status is not ok. Vectors have their dimension, or values and places that fit, and length 1 where promised.
    """
    rng = np.random.default_rng(seed)
    status = _statuses(table.column("status"), rows) if "status" in table.names else np.full(rows, "ok")
    arrays = []
    for column in table.columns:
        if column.name in table.keys:
            array = _key(column, table, rows, day)
        elif column.name == table.partition:
            array = pa.repeat(pa.scalar(day, column.type), rows)
        elif column.name == "status":
            array = pa.array(status, column.type)
        elif column.name in ("fingerprint", "run_key") and column.required:
            array = pa.repeat(pa.scalar(_sha256(f"{table.name} {column.name} {seed}"), column.type), rows)
        else:
            array = _fill(column, table, rows, rng, day)
        arrays.append(_hide(array, _absent(column, status, rng)))
    return pa.Table.from_arrays(arrays, schema=table.arrow)


def _statuses(column: Column, rows: int) -> np.ndarray[Any, Any]:
    good, *others = column.labels or ("ok",)
    place = np.arange(rows)
    if not others:
        return np.full(rows, good)
    return np.where(place % 10 == 7, np.array(others)[place // 10 % len(others)], good)


def _key(column: Column, table: Table, rows: int, day: dt.date) -> pa.Array:
    """Keys count up: three rows for each text where a whole number is among the keys, else one."""
    place = np.arange(rows)
    numbered = any(pa.types.is_integer(table.column(name).type) for name in table.keys)
    if pa.types.is_integer(column.type):
        return pa.array(place % 3 + int(column.low or 0), column.type)
    if pa.types.is_date(column.type):
        return pa.repeat(pa.scalar(day, column.type), rows)
    if column.name.endswith("sha256"):
        return pa.array([_sha256(str(i)) for i in place], column.type)
    return pa.array([f"{column.name}-{i:08d}" for i in (place // 3 if numbered else place)], column.type)


def _absent(column: Column, status: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Which rows are null, as the column's rule says."""
    if column.required:
        return np.zeros(len(status), bool)
    if column.value:
        return np.asarray(status != "ok")
    if column.name == "content_sha256":
        return np.asarray(status == "missing")
    return rng.random(len(status)) < 0.1


def _hide(array: pa.Array, absent: np.ndarray[Any, Any]) -> pa.Array:
    if not absent.any():
        return array
    if pa.types.is_list(array.type):  # if_else would copy every vector
        return pa.ListArray.from_arrays(array.offsets, array.values, type=array.type, mask=pa.array(absent))
    return pc.if_else(pa.array(absent), pa.scalar(None, array.type), array)


def _fill(column: Column, table: Table, rows: int, rng: np.random.Generator, day: dt.date) -> pa.Array:
    if column.labels is not None:
        return pa.array(rng.choice(np.array(column.labels), rows), column.type)
    if column.dim is not None:
        vectors = rng.standard_normal((rows, column.dim), dtype=np.float32)
        if column.unit:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return _lists(column.type, pa.array(vectors.reshape(-1), column.type.value_type), np.full(rows, column.dim))
    if column.size is not None:
        lengths = _sparse_lengths(column.size, rows)
        stripe = max(1, column.size // 3)  # a place in each
        places = rng.integers(0, stripe, int(lengths.sum())) + stripe * _ranks(lengths)
        return _lists(column.type, pa.array(places, column.type.value_type), lengths)
    if column.places is not None:
        lengths = _sparse_lengths(table.column(column.places).size or 0, rows)
        values = rng.uniform(0.5, 1, int(lengths.sum()))
        if column.unit:
            owners = np.repeat(np.arange(rows), lengths)
            values /= np.sqrt(np.bincount(owners, np.square(values), minlength=rows))[owners]
        return _lists(column.type, pa.array(values, column.type.value_type), lengths)
    if pa.types.is_string(column.type) and (column.name.endswith("sha256") or column.name == "author"):
        return pa.array([_sha256(f"{number}") for number in rng.integers(0, 2**62, rows)], column.type)
    if pa.types.is_string(column.type) and not column.personal:
        return pa.array([f"{column.name}-{number}" for number in rng.integers(0, 10, rows)], column.type)
    return _random(column.type, rows, rng, day, column.low, column.high)


def _sparse_lengths(size: int, rows: int) -> np.ndarray[Any, Any]:
    """How many values each row has: from none to three, the same for the places and what stands there."""
    return np.arange(rows) % (min(size, 3) + 1)


def _ranks(lengths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """0, 1, … within each row."""
    return np.asarray(np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths))


def _random(
    type_: pa.DataType, rows: int, rng: np.random.Generator, day: dt.date, low: float | None, high: float | None
) -> pa.Array:
    least = low if low is not None else (high - 100 if high is not None else 0)
    most = high if high is not None else least + 100
    if pa.types.is_boolean(type_):
        return pa.array(rng.random(rows) < 0.5, type_)
    if pa.types.is_integer(type_):
        return pa.array(rng.integers(int(np.ceil(least)), int(np.floor(most)) + 1, rows), type_)
    if pa.types.is_floating(type_):
        # kept off the edges, so that rounding to float32 cannot step over them
        return pa.array(least + (most - least) * (0.001 + 0.998 * rng.random(rows)), type_)
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        chosen = rng.integers(0, len(_PHRASES), (rows, 3))
        texts = [" ".join(_PHRASES[i] for i in three) for three in chosen.tolist()]
        return pa.array([text.encode() for text in texts] if pa.types.is_binary(type_) else texts, type_)
    if pa.types.is_date(type_):
        return pa.array(np.datetime64(day) - rng.integers(1, 365, rows).astype("timedelta64[D]")).cast(type_)
    if pa.types.is_timestamp(type_):
        seconds = rng.integers(0, 86_400, rows).astype("timedelta64[s]")
        return pa.array((np.datetime64(day) + seconds).astype("datetime64[us]")).cast(type_)
    if pa.types.is_list(type_):
        lengths = rng.integers(0, 4, rows)
        return _lists(type_, _random(type_.value_type, int(lengths.sum()), rng, day, None, None), lengths)
    if pa.types.is_struct(type_):
        parts = [_random(field.type, rows, rng, day, None, None) for field in type_]
        return pa.StructArray.from_arrays(parts, fields=list(type_))
    raise NotImplementedError(f"no sample values for type {type_}; add them to schemas/sample.py")


def _lists(type_: pa.DataType, values: pa.Array, lengths: np.ndarray[Any, Any]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=type_)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
