"""Rows of a table, and what tables are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from otzyv.flows.console.screen import fits, screen
from otzyv.schemas.table import Table

if TYPE_CHECKING:
    from otzyv.tasks.lake import Lake


def show_rows(lake: Lake, table: Table, day: date | None, limit: int, *, as_json: bool) -> None:
    """Rows as a person wants to read them: a table where it fits the width, else each row as lines of its own."""
    rows = lake.head(table, day, limit)
    if as_json:
        click.echo(json.dumps(rows.to_pylist(), ensure_ascii=False, default=_plain))
        return
    shown = [name for name in rows.column_names if name not in ("fingerprint", "run_key")]
    title = f"{table.name}: {rows.num_rows} rows shown"
    console = Console(markup=False, emoji=False)
    cells = [{name: _cell(row[name]) for name in shown} for row in rows.to_pylist()]
    grid = Grid(*shown, title=title)
    for row in cells:
        grid.add_row(*row.values())
    if fits(grid, console):
        console.print(grid)
        return
    click.echo(title)
    longest = max(map(len, shown))
    for row in cells:
        click.echo("\n" + "\n".join(f"{name + ':':<{longest + 1}} {cell}" for name, cell in row.items()))


def other_release(lake: Lake, table: Table, day: date) -> str | None:
    """What to say where readers of a day see a table otherwise than its newest publication is, or not at all."""
    from otzyv.tasks.lake.releases import SHOWN

    files = lake.snapshot(table).of(day)
    if "review_id" not in table.keys or not files:
        return None
    release = lake.releases([day]).get(day)
    if release is None:
        return f"the newest publication; readers see no release of {day}"
    seen = release.by_name.get(table.name)
    if seen and {*seen.files} == {file.path for file in files}:
        return None
    without = "" if seen else f", which is without {table.name}"
    return f"the newest publication; readers see release {release.release_id[:SHOWN]} of {day}{without}"


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that a terminal would obey."""


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], float):
        first = " ".join(f"{x:.3f}" for x in value[:3])
        return f"{len(value)}-d, norm {np.linalg.norm(value):.3f}: {first} …"
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))
    return text if len(text) <= 60 else f"{text[:57]}…"


def show_schema(tables: Mapping[str, Table], name: str | None, *, as_json: bool) -> None:
    """The data dictionary of one table, or all tables with what a row is."""
    from otzyv.schemas import dictionary

    if name is not None and name not in tables:
        raise click.BadParameter(f"no table {name!r}; there are: {', '.join(tables)}", param_hint="TABLE")
    if as_json:
        chosen = tables.values() if name is None else [tables[name]]
        click.echo(json.dumps([dictionary.as_json(table) for table in chosen], ensure_ascii=False))
    elif name is not None:
        click.echo(dictionary.as_text(tables[name]))
    else:
        grid = Grid("table", "a row is", "keys")
        for table in tables.values():
            grid.add_row(table.name, table.row, ", ".join(table.keys))
        screen().print(grid)
