"""What a computed row has cost so far, as a lake's runs tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import pyarrow as pa

FIGURES = ("computed", "seconds", "money")


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one row, all that its run did included."""

    seconds: float
    money: float


def rates(runs: pa.Table) -> dict[str, Rate]:
    """By table; ``runs``: the columns ``table`` and ``FIGURES`` of that table. None of what was never computed."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs.to_pylist():
        if run["computed"]:
            figures = {name: run[name] or 0 for name in FIGURES}
            # Where the budget did not suffice for a first answer, nothing is told of the price.
            totals[run["table"]].update(figures | {"paid": figures["computed"] if figures["money"] else 0})
    return {
        table: Rate(total["seconds"] / total["computed"], total["money"] / (total["paid"] or 1))
        for table, total in totals.items()
    }
