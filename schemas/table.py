"""A table and its columns, as plain data that everything else is derived from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its Arrow type, what it means, and what must hold of its values.

    ``required`` columns are never null. ``value`` columns hold what an extractor computed: they are filled where the
    row's status is ``ok`` and null everywhere else. ``low`` and ``high`` are inclusive. ``dim`` and ``unit`` speak of a
    vector (``list<float>``): its exact length, and whether its Euclidean length is 1.

    A vector that is mostly zeros takes two columns. One (``list<int32>``) says at which places of ``size`` numbers it
    is not zero, in ascending order; the other (``list<float>``) has as many values, and ``places`` names the first.
    There, ``unit`` holds of every vector that has a value.
    """

    name: str
    type: pa.DataType
    doc: str
    required: bool = True
    value: bool = False
    low: float | None = None
    high: float | None = None
    labels: tuple[str, ...] | None = None
    dim: int | None = None
    unit: bool = False
    size: int | None = None
    places: str | None = None
    personal: bool = False
    """Written by or about a person: no statistics of it in the log, never shown in a page or an error."""

    def __post_init__(self) -> None:
        if self.value and self.required:
            raise ValueError(f"column {self.name!r}: a value column is null where status is not ok, so required=False")
        for said, value in (("dim", self.dim), ("size", self.size), ("places", self.places)):
            if value is not None and not pa.types.is_list(self.type):
                raise ValueError(f"column {self.name!r}: {said} is for list columns, not {self.type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the lake: what a row is, its columns, its keys, and the column it is partitioned by (None: not)."""

    name: str
    row: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    partition: str | None = "day"

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        doubled = {name for name in names if names.count(name) > 1}
        missing = {*self.keys, *([self.partition] if self.partition else [])} - set(names)
        if doubled or missing:
            raise ValueError(f"table {self.name!r}: columns named twice {sorted(doubled)}, not there {sorted(missing)}")
        for column in self.columns:
            if column.places is not None and self.column(column.places).size is None:
                raise ValueError(f"table {self.name!r}: {column.places!r}, the places of {column.name!r}, has no size")

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, partition column included."""
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def of_days(self) -> Table:
        """The same table as rows of several days are checked together: the day is one of the keys."""
        return replace(self, keys=(*self.keys, self.partition)) if self.partition else self

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name!r} has no column {name!r}; there are: {', '.join(self.names)}")

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns an extractor computes."""
        return tuple(column for column in self.columns if column.value)
