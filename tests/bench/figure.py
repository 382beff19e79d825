"""What a benchmark says, and how two ways of doing one thing are compared on a noisy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: ``value`` is a ratio unless ``unit`` says otherwise; ``target`` is what the issue asks."""

    name: str
    value: float
    target: str
    detail: str
    unit: str = "x"


def alternate(ours: Callable[[], object], theirs: Callable[[], object], *, runs: int = 5) -> tuple[float, float, float]:
    """Run both in turn, A B A B, after a warm-up each: median seconds of ours, of theirs, median ratio theirs/ours."""
    ours()
    theirs()
    pairs = []
    for _ in range(runs):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        pairs.append((middle - start, time.perf_counter() - middle))
    mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return mine, other, statistics.median(b / a for a, b in pairs)
