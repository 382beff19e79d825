"""The screen: its width, progress bars, and how days and the command are named."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid

if TYPE_CHECKING:
    pass


WIDE = 1000
"""Characters of a line where nobody's screen limits it."""


def screen() -> Console:
    """Standard output for tables of plain text: as wide as the terminal; in a pipe or a file nothing is cut."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def fits(grid: Grid, console: Console) -> bool:
    """Whether a table is shown whole, no cell of it broken."""
    return console.measure(grid, options=console.options.update(width=WIDE)).maximum <= console.width


@contextmanager
def progress(*, quiet: bool) -> Iterator[None]:
    """Progress bars on standard error, one for each table and span of days that has something to compute."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from otzyv.tasks.pipeline.progress import progress_listener

    if quiet:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[tuple[str, tuple[date, ...]], Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def listen(table: str, days: Sequence[date], done: int, total: int) -> None:
            key = (table, tuple(days))
            if key not in bars:
                bars[key] = shown.add_task(f"{table} {days_in_words(days)}", total=total)
            shown.update(bars[key], completed=done)

        with progress_listener(listen):
            yield


def days_in_words(days: Sequence[date]) -> str:
    return f"{days[0]} to {days[-1]} ({len(days)} days)" if len(days) > 2 else " and ".join(map(str, days))


def otzyv_command() -> str:
    """The command as this shell finds it: by its path where ``.venv`` is not active."""
    called = sys.argv[0]
    return called if Path(called).name == "otzyv" and not shutil.which("otzyv") else "otzyv"
