"""What a plan costs: a year that is new, and a month in which nothing changed."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from otzyv.tasks.extractors import Card, Run, Weights, get, register
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.plan import plan
from otzyv.tasks.record import record
from otzyv.tasks.release import release
from tests.bench.figure import Figure
from tests.tasks.reviews import bring

ROWS, TABLES = 1_000, 10
FIRST = date(2026, 1, 1)
NAMES = [f"text_bench{number}" for number in range(TABLES - 1)]


def figures() -> Iterator[Figure]:
    for what, days, seconds in (("a new year", 365, 30), ("an unchanged month", 30, 5)):
        told = subprocess.run([sys.executable, "-m", __name__, str(days)], check=True, capture_output=True, text=True)
        took, peak = map(float, told.stdout.split())
        detail = f"{days} days x {TABLES} tables x {ROWS:,} rows"
        yield Figure(f"planning {what}", took, f"<= {seconds}", detail, unit="s")
        if days == 365:
            yield Figure(f"peak memory of planning {what}", peak, "<= 500", f"{detail}, imports included", unit="MiB")


def _lengths(card: Card, weights: Weights | None) -> Run:
    def run(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([[len(text), 1] for text in texts], np.float32)

    return run


def _measure(days: int) -> None:
    for name in NAMES:
        register(Card(name=name, version=1, modality="plain", doc="lengths", licence="", source="", dim=2))(_lengths)
    lake = Lake.create(tempfile.mkdtemp())
    all_days = [FIRST + timedelta(days=number) for number in range(days)]
    for start in range(0, days, 30):
        bring(
            lake,
            {
                day: {f"{day}-{row}": f"курс {day} и {row}" for row in range(ROWS)}
                for day in all_days[start : start + 30]
            },
        )
    if days == 30:
        for day in all_days:
            runs = [make(lake, extractor, day) for extractor in (CLEANING, *map(get, NAMES))]
            record.fn(lake.uri, runs)
            release.fn(lake.uri, [day], runs)[day]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock = time.perf_counter()
    planned = plan.fn(lake.uri, NAMES)
    took = time.perf_counter() - clock
    if len(planned.days) != days or bool(planned.work) != (days != 30):
        raise SystemExit(
            f"the plan is not what it should be: {len(planned.work)} of {len(planned.days)} days have work"
        )
    print(took, max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024)


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
