"""Every way to break one promise of a table in one row, and the check that must find it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column, Table

SECRET = "чужое 8-900-000-00-00"
"""A value that may show in no report."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """``breaks`` changes one row, which must be one with values, one without, or any."""

    name: str
    finds: frozenset[tuple[str, str]]
    breaks: Callable[[Row], None]
    on: Literal["filled", "unfilled", "any"] = "any"


def faults(table: Table) -> list[Fault]:
    return [fault for column in table.columns for fault in _of(table, column)]


def _of(table: Table, column: Column) -> Iterator[Fault]:
    where: Literal["filled", "any"] = "filled" if column.value else "any"

    def fault(rule: str, how: str, value: Any, *also: str) -> Fault:
        finds = {(rule, column.name), *((name, ", ".join(table.keys)) for name in also)}
        return Fault(f"{column.name} {how}", frozenset(finds), _setting(column.name, value), where)

    if column.required:
        yield fault("required", "is null", None, *(("unexpected", "missing") if column.name in table.keys else ()))
    if column.labels:
        yield fault("label", "is no known label", SECRET)
    if column.value:
        filled = _some(column)
        yield fault("null_by_status", "is null beside ok", None)
        finds = frozenset({("null_by_status", column.name)})
        yield Fault(f"{column.name} is filled beside no ok", finds, _setting(column.name, filled), "unfilled")
    if column.dim:
        good = _some(column)
        yield fault("dim", "is too short", good[1:])
        yield fault("dim", "is too long", [*good, 0.0])
        yield fault("dim", "is empty", [])
        for odd in (math.nan, math.inf, -math.inf, None):
            yield fault("finite", f"holds {odd}", [odd, *good[1:]])
    elif column.size or column.places:
        yield from _of_sparse(column)
    elif pa.types.is_floating(column.type):
        for odd in (math.nan, math.inf, -math.inf):
            yield fault("finite", f"is {odd}", odd)
    if column.unit and column.dim:
        for length in (0.0, 0.997, 1.003, 1e20):
            yield fault("unit", f"has length {length}", [x * length for x in _some(column)])
    if column.name not in table.keys:
        for bound, way in ((column.low, -1), (column.high, 1)):
            if bound is not None:
                yield fault("range", f"lies beyond {bound}", _beyond(column, bound, way))


def _of_sparse(column: Column) -> Iterator[Fault]:
    """Two places of which one is wrong, or two values for two places."""

    def fault(rule: str, how: str, places: list[Any], values: list[Any]) -> Fault:
        pair = {column.name: places} if column.size else {column.places or "": places, column.name: values}
        if column.size:
            pair["values"] = values
        return Fault(f"{column.name} {how}", frozenset({(rule, column.name)}), lambda row: row.update(pair), "filled")

    if column.size:
        for odd in (column.size, -1, None):
            yield fault("below", f"holds {odd}", [odd], [1.0])
        for falling in ([2, 1], [1, 1]):
            yield fault("ascending", f"goes {falling}", falling, [0.6, 0.8])
        return
    yield fault("length", "is one short", [0, 1], [1.0])
    yield fault("length", "is empty where there is a place", [0], [])
    for wrong in (math.nan, math.inf, None):
        yield fault("finite", f"holds {wrong}", [0, 1], [1.0, wrong])
    for values in ([0.6, 0.81], [0.0, 0.0]):
        yield fault("unit", f"is {values}", [0, 1], values)


def _setting(name: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row.update({name: value})


def _some(column: Column) -> Any:
    if column.dim:
        return [1.0] + [0.0] * (column.dim - 1)
    if column.size or column.places:
        return [0] if column.size else [1.0]
    if column.labels:
        return column.labels[0]
    return SECRET if pa.types.is_string(column.type) else (column.low or 0)


def _beyond(column: Column, bound: float, way: int) -> Any:
    """The nearest value beyond a bound that the column's type can hold."""
    if pa.types.is_integer(column.type):
        return int(bound) + way
    kind = column.type.to_pandas_dtype()
    return float(np.nextafter(kind(bound), kind(way * math.inf)))
