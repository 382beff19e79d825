"""The quality page: one HTML file with nothing from outside, every value escaped, no review's words in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

MOST_DAYS = 31
"""How many days a chart shows apart."""
OF_THE_PAGE = "the days of this page"


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
class Total:
    """One table over all days of a run."""

    lines: Sequence[TableLine]

    @property
    def table(self) -> str:
        return self.lines[0].table

    @property
    def states(self) -> Mapping[str, int]:
        return Counter(line.state for line in self.lines)

    @property
    def status(self) -> Mapping[str, int]:
        return sum((Counter(line.status) for line in self.lines), Counter[str]())

    def sum(self, figure: str) -> float:
        """Of a figure of ``TableLine``; lists count by their length."""
        values = [getattr(line, figure) for line in self.lines]
        return sum(value if isinstance(value, int | float) else len(value) for value in values)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: what it counts, and where it begins and how long it is, as shares of the longest bar."""

    key: str
    value: float
    start: float
    length: float
    share: float
    """Of its own bar."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars: what they show, and for each bar its label and (key, value) of the parts it is made of.

    A bar of one part has the key ``""``.
    """

    title: str
    note: str
    bars: Sequence[tuple[str, Sequence[tuple[str, float]]]]

    @property
    def keys(self) -> list[str]:
        """What the parts count, the most frequent first; none where bars have but one part."""
        counts = Counter[str]()
        for _, parts in self.bars:
            counts.update({key: value for key, value in parts if key})
        return [key for key, _ in counts.most_common()]

    def drawn(self) -> Iterator[tuple[str, float, list[Segment]]]:
        """Label, sum and segments of each bar, its parts in the order of ``keys``."""
        order = {key: place for place, key in enumerate(self.keys)}
        most = max((sum(value for _, value in parts) for _, parts in self.bars), default=0.0) or 1.0
        for label, parts in self.bars:
            total, start, segments = sum(value for _, value in parts), 0.0, []
            for key, value in sorted(parts, key=lambda part: order.get(part[0], 0)):
                segments.append(Segment(key, value, start / most, value / most, value / (total or 1.0)))
                start += value
            yield label, total, segments


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows."""

    lake: str
    made_at: datetime
    accounting: Mapping[str, int] | None
    days: Sequence[tuple[date, str]]
    lines: Sequence[TableLine]
    charts: Sequence[Chart]
    held: Sequence[tuple[date, str]] = ()
    """Days that wait for a person, and why."""
    title: str = "Quality of a run"

    @property
    def checks_passed(self) -> int:
        return sum(line.checks_passed for line in self.lines)

    @property
    def checks_failed(self) -> int:
        return sum(len(line.checks_failed) for line in self.lines)

    @property
    def totals(self) -> list[Total]:
        return totals(self.lines)

    @property
    def problems(self) -> list[str]:
        """What a person should look at first."""
        said = [f"{day} is held: {why}" for day, why in self.held]
        said += [f"{line.table} {line.day}: {line.error}" for line in self.lines if line.error]
        said += [
            f"{line.table} {line.day}: {line.invalid} rows failed {', '.join(line.checks_failed) or 'a row check'}"
            for line in self.lines
            if line.invalid
        ]
        return said


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("otzyv.tasks.quality", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("pages.html").render(page=page)


def totals(lines: Sequence[TableLine]) -> list[Total]:
    """Each table over all days, in the order they were made."""
    names = dict.fromkeys(line.table for line in lines)
    return [Total([line for line in lines if line.table == name]) for name in names]


def status_chart(lines: Sequence[TableLine]) -> Chart:
    """Rows by status, a bar per table."""
    return Chart(
        "Rows by status", OF_THE_PAGE, [(total.table, sorted(total.status.items())) for total in totals(lines)]
    )


def refused_chart(refused: Mapping[str, int], day: date) -> Chart:
    """Records in quarantine by the rule that refused them."""
    bars = [(rule, [("", float(count))]) for rule, count in sorted(refused.items(), key=lambda bar: -bar[1])]
    return Chart("Quarantine by rule", f"refused on {day}", bars)


def reason_chart(reasons: Mapping[str, int]) -> Chart:
    """Attached files that were not taken, by the reason."""
    bars = [(reason, [("", float(count))]) for reason, count in sorted(reasons.items(), key=lambda bar: -bar[1])]
    return Chart("Files not taken by reason", f"attachments; {OF_THE_PAGE}", bars)


def label_chart(title: str, note: str, column: str, metrics: Mapping[date, Mapping[str, float]]) -> Chart:
    """Rows by label, a bar per day; one bar for all where there are more than a month of days."""
    counts = {str(day): _summed(f"{column}.", [measured]) for day, measured in metrics.items()}
    if len(counts) > MOST_DAYS:
        counts = {OF_THE_PAGE: _summed(f"{column}.", list(metrics.values()))}
    return Chart(title, note, [(day, sorted(labels.items())) for day, labels in counts.items() if labels])


def histogram_chart(title: str, note: str, column: str, metrics: Mapping[date, Mapping[str, float]]) -> Chart:
    """How many rows have how large a count, in bins that double."""
    bins = {int(name): count for name, count in _summed(f"{column}.bin.", list(metrics.values())).items()}
    span = range(min(bins), max(bins) + 1) if bins else range(0)
    return Chart(title, note, [(_bin(n), [("", bins.get(n, 0.0))]) for n in span])


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
