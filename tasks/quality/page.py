"""The quality page: one HTML file with nothing from outside, every value escaped, no review's words in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined


@dataclass(frozen=True, slots=True)
class TableLine:
    """How one table of one day ended, as the page shows it."""

    table: str
    day: date
    state: str
    rows: int
    computed: int
    reused: int
    invalid: int
    seconds: float
    status: Mapping[str, int]
    checks_passed: int
    checks_failed: Sequence[str]
    error: str | None


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart: what it shows, and (label, value) from left to right or top to bottom."""

    title: str
    note: str
    bars: Sequence[tuple[str, float]]

    @property
    def most(self) -> float:
        return max((value for _, value in self.bars), default=0.0) or 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows."""

    lake: str
    made_at: datetime
    accounting: Mapping[str, int] | None
    days: Sequence[tuple[date, str]]
    lines: Sequence[TableLine]
    charts: Sequence[Bars]
    refused: Mapping[str, int]

    @property
    def problems(self) -> list[str]:
        """What a person should look at first."""
        said = [f"{line.table} {line.day}: {line.error}" for line in self.lines if line.error]
        said += [
            f"{line.table} {line.day}: {line.invalid} rows failed {', '.join(line.checks_failed) or 'a row check'}"
            for line in self.lines
            if line.invalid
        ]
        return said


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(loader=PackageLoader("tasks.quality", "."), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(page=page)


def status_bars(lines: Sequence[TableLine]) -> Bars:
    """Rows by status over all tables."""
    counts: dict[str, float] = {}
    for line in lines:
        for status, count in line.status.items():
            counts[status] = counts.get(status, 0) + count
    return Bars("Rows by status", "all tables of this run", sorted(counts.items(), key=lambda bar: -bar[1]))


def label_bars(table: str, column: str, metrics: Sequence[Mapping[str, float]]) -> Bars:
    """Rows by label of one table, over the measured days."""
    counts = _summed(f"{column}.", metrics)
    return Bars(f"{table}: {column}", "rows by top label", sorted(counts.items(), key=lambda bar: -bar[1]))


def histogram_bars(table: str, column: str, metrics: Sequence[Mapping[str, float]]) -> Bars:
    """How many rows have how large a count, in bins that double."""
    bins = {int(name): count for name, count in _summed(f"{column}.bin.", metrics).items()}
    bars = [(_bin(n), bins.get(n, 0.0)) for n in range(min(bins), max(bins) + 1)] if bins else []
    return Bars(f"{table}: {column}", "rows by size", bars)


def _summed(prefix: str, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    counts: dict[str, float] = {}
    for measured in metrics:
        for name, value in measured.items():
            if name.startswith(prefix):
                label = name.removeprefix(prefix)
                counts[label] = counts.get(label, 0.0) + value
    return counts


def _bin(exponent: int) -> str:
    low, high = (0, 0) if exponent == 0 else (2 ** (exponent - 1), 2**exponent - 1)
    return str(low) if low == high else f"{low}-{high}"
