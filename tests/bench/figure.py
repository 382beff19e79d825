"""What a benchmark says, and how two ways of doing one thing are compared on a noisy machine."""

from __future__ import annotations

import operator
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

_TARGET = re.compile(r"(>=|<=|>|<) (\d+(?:\.\d+)?)")
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: ``value`` is a ratio unless ``unit`` says otherwise; ``target`` is what the issue asks.

    A target begins with a comparison and a number: ``>= 3.5``. An empty one: a figure to know, none to reach.
    """

    name: str
    value: float
    target: str
    detail: str
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        """Whether the value is what the target asks; None where it asks nothing."""
        if not self.target:
            return None
        asked = _TARGET.match(self.target)
        if asked is None:
            raise ValueError(f"{self.name}: the target {self.target!r} does not begin like '>= 3.5'")
        return bool(_HOLDS[asked[1]](self.value, float(asked[2])))

    @property
    def shown(self) -> str:
        """The value with its unit, in four digits: ``3.912 x``."""
        return f"{self.value:.4g} {self.unit}".rstrip()


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
