"""Who wants to know how far a table has come. The command line listens; a scheduled run has nobody listening."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

Listener = Callable[[str, Sequence[date], int, int], None]
"""table, days, contents done, contents to do."""

_listeners: list[Listener] = []


@contextmanager
def progress_listener(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report_progress(table: str, days: Sequence[date], done: int, total: int) -> None:
    for listener in _listeners:
        listener(table, days, done, total)
