"""The quality verdict: whether readers may see a day at once, or a person must look first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Metrics = Mapping[str, float]
"""Metric -> figure of one table and day, as ``figures.measure`` gives them."""


class Limits(BaseModel):
    """What a day may not go beyond unseen. Shares are of a table's rows, from 0 to 1; a limit of 1 is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fewest: int = Field(50, ge=1, description="tables of fewer rows, and falls from fewer, are not judged")
    not_ok: float = Field(0.2, ge=0, le=1, description="share of rows without features, empty texts aside")
    empty: float = Field(0.5, ge=0, le=1, description="share of reviews whose text is empty")
    fallen: float = Field(0.5, ge=0, le=1, description="share of the usual number of reviews that may be lacking")
    labels: float = Field(0.3, ge=0, le=1, description="share of rows that would need another label to be as before")
    vectors: float = Field(0.5, ge=0, description="how far the mean vector may move, in spreads of the vectors")


@dataclass(frozen=True, slots=True)
class VectorStats:
    """Vectors of a table's day: how many, their mean (dim,), and their spread: the root of the summed variances."""

    rows: int
    mean: np.ndarray
    spread: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A day as the verdict sees it: figures by table, and the vectors of those tables that have some.

    ``models``: the fingerprint of each table; vectors are compared only if the same model made them.
    """

    figures: Mapping[str, Metrics]
    clouds: Mapping[str, VectorStats] = field(default_factory=dict)
    models: Mapping[str, str | None] = field(default_factory=dict)


def critical(
    limits: Limits,
    day: Measured,
    before: Measured | None,
    usual: Sequence[int],
    *,
    reviews: str,
    seen: Collection[str] = (),
) -> Iterator[str]:
    """Why readers should not see the day yet, one sentence each; none if they may.

    ``before``: what they see of the day now, or of the day before it. ``usual``: rows of the table ``reviews`` in the
    released days before it. ``seen``: tables whose figures readers see already.

    A figure that is not there is not judged.
    """
    if reviews not in seen:
        yield from _fallen(limits, day, before, usual, reviews)
    for table, figures in day.figures.items():
        if figures.get("rows", 0.0) < limits.fewest:
            continue
        if table not in seen:
            yield from _statuses(limits, table, figures)
        if before is None or before.figures.get(table, {}).get("rows", 0.0) < limits.fewest:
            continue
        yield from _labels(limits, table, figures, before.figures[table])
        yield from _vectors(limits, table, day, before)


def _fallen(
    limits: Limits, day: Measured, before: Measured | None, usual: Sequence[int], reviews: str
) -> Iterator[str]:
    rows = day.figures.get(reviews, {}).get("rows")
    if rows is None:
        return
    known = before.figures.get(reviews, {}).get("rows", 0.0) if before else 0.0
    for told, many in (("the days before have", median(usual) if usual else 0.0), ("readers see now", known)):
        if many >= limits.fewest and rows < (1 - _exact(limits.fallen)) * Fraction(many):
            yield f"{reviews}: {rows:.0f} rows, where {told} {many:.0f}"
            return


def _exact(limit: float) -> Fraction:
    """A limit as it was written: 0.29 times 100 is 29, which as floats it is not."""
    return Fraction(str(limit))


def _statuses(limits: Limits, table: str, figures: Metrics) -> Iterator[str]:
    rows = figures["rows"]
    others = {
        name.removeprefix("status."): count
        for name, count in figures.items()
        if name.startswith("status.") and name not in ("status.ok", "status.empty")
    }
    if sum(others.values()) > _exact(limits.not_ok) * Fraction(rows):
        told = ", ".join(f"{count:.0f} {status}" for status, count in sorted(others.items()))
        yield f"{table}: {sum(others.values()) / rows:.0%} of {rows:.0f} rows have no features ({told})"
    if figures.get("status.empty", 0.0) > _exact(limits.empty) * Fraction(rows):
        yield f"{table}: {figures['status.empty'] / rows:.0%} of {rows:.0f} texts are empty"


def _labels(limits: Limits, table: str, now: Metrics, before: Metrics) -> Iterator[str]:
    for column in _labelled(now) & _labelled(before):
        shares, former = _shares(column, now), _shares(column, before)
        # In exact numbers: else rounding, in the order of a set, would decide at the limit, and go beyond one of 1.
        none = Fraction(0)
        apart = sum((abs(shares.get(label, none) - former.get(label, none)) for label in {*shares, *former}), none)
        moved = apart / 2
        if moved > _exact(limits.labels):
            most = max(shares, key=lambda label: abs(shares[label] - former.get(label, none)))
            yield (
                f"{table}: {float(moved):.0%} of the rows have another {column} than before "
                f"({most}: {float(former.get(most, none)):.0%}, now {float(shares[most]):.0%})"
            )


def _labelled(figures: Metrics) -> set[str]:
    """Columns with a count for each label: their metrics are ``column.label``, and no quantiles or bins."""
    heads = {name.partition(".")[0] for name in figures if "." in name}
    return {head for head in heads if head != "status" and f"{head}.mean" not in figures}


def _shares(column: str, figures: Metrics) -> dict[str, Fraction]:
    counts = {name.partition(".")[2]: Fraction(n) for name, n in figures.items() if name.startswith(f"{column}.")}
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()}


def _vectors(limits: Limits, table: str, day: Measured, before: Measured) -> Iterator[str]:
    now, then = day.clouds.get(table), before.clouds.get(table)
    if now is None or then is None or day.models.get(table) != before.models.get(table):
        return
    moved = shift(now, then)
    if moved > limits.vectors:
        yield f"{table}: the mean vector has moved by {moved:.2f} of the vectors' spread"


def shift(one: VectorStats, other: VectorStats) -> float:
    """How far apart two means lie, in spreads, less what chance alone puts between samples of that size.

    Of two samples of one distribution the squared distance of the means is, on average, the summed variances times
    (1/n + 1/m): that is taken off.
    """
    variance = (one.spread**2 * one.rows + other.spread**2 * other.rows) / (one.rows + other.rows)
    if not variance:
        return 0.0 if np.allclose(one.mean, other.mean) else float("inf")
    apart = float(np.square(one.mean - other.mean).sum()) / variance - (1 / one.rows + 1 / other.rows)
    return float(np.sqrt(max(apart, 0.0)))
