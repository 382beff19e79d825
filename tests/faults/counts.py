"""How often faults are made: a sample in the tests; where OTZYV_TORTURE is set, that share of the full counts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

TOLD_EVERY = 10.0
"""Seconds between two lines that tell how far a long count is."""


@dataclass(slots=True)
class Count:
    """How many faults of a kind were made, each followed by the promise that must hold after it.

    ``wanted``: how many this run was to make; ``full``: how many the promise speaks of.
    """

    fault: str
    wanted: int
    full: int
    made: int = 0
    seconds: float = 0.0
    detail: str = ""


COUNTS: list[Count] = []
"""What this process has made so far."""


def share() -> float:
    """1 for the full counts; 0 where faults are only sampled."""
    return float(os.environ.get("OTZYV_TORTURE", 0))


def detail(said: str) -> None:
    """Something to know beside the newest count."""
    COUNTS[-1].detail = said


def times(sample: int, full: int) -> int:
    return max(1, round(full * share())) if share() else sample


def turns(fault: str, sample: int, full: int, *, each: int = 1) -> Iterator[int]:
    """The numbers of the turns that a kind of fault is made in, ``each`` times in a turn. Counts what was made."""
    wanted = times(sample, full)
    count = Count(fault, wanted * each, full * each)
    COUNTS.append(count)
    began = told = time.monotonic()
    for turn in range(wanted):
        yield turn
        count.made += each
        count.seconds = time.monotonic() - began
        if share() and time.monotonic() - told > TOLD_EVERY:
            told = time.monotonic()
            print(f"{fault}: {count.made} of {count.wanted}", file=sys.__stderr__, flush=True)
