"""The data dictionary: what each column of a table means and what holds of it, for people and for programs."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from otzyv.schemas.table import Column, Table


def promises(column: Column) -> list[str]:
    """What holds of a column's values, in words."""
    said = []
    if column.dim is not None:
        said.append(f"{column.dim} numbers" + (", length 1" if column.unit else ""))
    if column.size is not None:
        said.append(f"places from 0 to {column.size - 1}, ascending")
    if column.places is not None:
        said.append(f"as many as {column.places}" + (", length 1 unless there are none" if column.unit else ""))
    if column.low is not None and column.high is not None:
        said.append(f"{column.low:g} to {column.high:g}")
    elif column.low is not None:
        said.append(f"at least {column.low:g}")
    elif column.high is not None:
        said.append(f"at most {column.high:g}")
    if column.labels is not None:
        said.append("one of " + ", ".join(column.labels))
    if column.value:
        said.append("null unless status is ok")
    elif not column.required:
        said.append("may be null")
    if column.personal:
        said.append("personal")
    return said


def as_json(table: Table) -> dict[str, Any]:
    """A table as plain data; a column has only those of low, high, labels, dim, unit, size, places that it promises."""
    return {
        "name": table.name,
        "row": table.row,
        "keys": list(table.keys),
        "partition": table.partition,
        "columns": [_column(column) for column in table.columns],
    }


def _column(column: Column) -> dict[str, Any]:
    promised = {
        "low": column.low,
        "high": column.high,
        "labels": None if column.labels is None else list(column.labels),
        "dim": column.dim,
        "unit": column.unit or None,
        "size": column.size,
        "places": column.places,
    }
    return {
        "name": column.name,
        "type": str(column.type),
        "doc": column.doc,
        "required": column.required,
        "value": column.value,
        "personal": column.personal,
        **{name: value for name, value in promised.items() if value is not None},
    }


def as_markdown(tables: Iterable[Table]) -> str:
    """A section per table with one line per column, for the documentation."""
    return "\n".join(_section(table) for table in tables)


def _section(table: Table) -> str:
    lines = [
        f"## {table.name}",
        "",
        f"A row is {table.row}.",
        _where(table),
        "",
        "| column | type | what it is | what holds of it |",
        "| --- | --- | --- | --- |",
    ]
    for column in table.columns:
        cells = (f"`{column.name}`", f"`{column.type}`", column.doc, "; ".join(promises(column)))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _where(table: Table) -> str:
    partition = f"partitioned by {table.partition}" if table.partition else "not partitioned"
    return f"Keys: {', '.join(table.keys)}; {partition}."


def as_text(table: Table, *, width: int = 120) -> str:
    """A table for the terminal, at most ``width`` characters wide, without colours."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid("column", "type", "what it is", "what holds of it", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        cells = (column.name, str(column.type), column.doc, "; ".join(promises(column)))
        grid.add_row(*map(Text, cells))
    said = io.StringIO()
    console = Console(file=said, width=width, color_system=None, highlight=False, markup=False)
    console.print(f"{table.name}: a row is {table.row}.")
    console.print(_where(table))
    console.print(grid)
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines())
