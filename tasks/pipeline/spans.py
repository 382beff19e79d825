"""Spans: the days that are made in one pass, and stretches of days as people name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

SPAN_SECONDS = 60.0
"""About how much work one pass is, if nobody says otherwise: what a run that is cancelled or dies leaves undone."""
SPAN_ROWS = 10_000
"""How many reviews and attached files one pass holds in memory, but for a day that has more."""

MOST_SPANS = 20
"""How many stretches of days are named at most."""


def spans(days: Sequence[date]) -> str:
    """Days in their order, those that follow one another as one."""
    runs: list[list[date]] = []
    for day in days:
        if not runs or day - runs[-1][-1] > timedelta(days=1):
            runs.append([])
        runs[-1].append(day)
    named = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = f" and {len(named) - MOST_SPANS} more" if len(named) > MOST_SPANS else ""
    return ", ".join(named[:MOST_SPANS]) + more


def cut(
    days: Sequence[date], seconds: Callable[[date], float], rows: Callable[[date], int], most: float = SPAN_SECONDS
) -> list[list[date]]:
    """The days, in their order, as spans of at most so many seconds of work and ``SPAN_ROWS`` rows, or of one day."""
    spans: list[list[date]] = []
    work, held = 0.0, 0
    for day in days:
        work, held = work + seconds(day), held + rows(day)
        if not spans or work > most or held > SPAN_ROWS:
            spans.append([])
            work, held = seconds(day), rows(day)
        spans[-1].append(day)
    return spans
