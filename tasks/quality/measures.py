"""Figures of one table and day, measured on flat columns: counts, quantiles, histograms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Table

QUANTILES = (0.05, 0.5, 0.95)
_LINEAGE = {"status", "position"}


def flat_columns(table: Table) -> list[str]:
    """The columns that can be measured without reading vectors or texts: numbers, labels and the status."""
    return [
        column.name
        for column in table.columns
        if (column.labels or pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        and not column.personal
    ]


def measure(table: Table, rows: pa.Table) -> dict[str, float]:
    """Metric -> figure: ``rows``, ``status.ok``, ``label.positive``, ``chars.p50``, ``chars.bin.7`` (64 to 127) …"""
    return {"rows": float(rows.num_rows), **dict(_metrics(table, rows))}


def _metrics(table: Table, rows: pa.Table) -> Iterator[tuple[str, float]]:
    for name in flat_columns(table):
        column, values = table.column(name), rows[name].drop_null()
        if column.labels:
            for counted in pc.value_counts(values).to_pylist():
                yield f"{name}.{counted['values']}", float(counted["counts"])
        elif name not in _LINEAGE and len(values):
            numbers = values.to_numpy().astype(np.float64)
            for share, figure in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True):
                yield f"{name}.p{round(share * 100):02}", float(figure)
            yield f"{name}.mean", float(numbers.mean())
            if pa.types.is_integer(column.type):
                for exponent, count in zip(*np.unique(_bit_length(numbers), return_counts=True), strict=True):
                    yield f"{name}.bin.{exponent}", float(count)


def _bit_length(numbers: np.ndarray) -> np.ndarray:
    """The histogram's bin: 0 for 0, n for 2**(n-1) to 2**n - 1."""
    bins: np.ndarray = np.frexp(numbers)[1]
    return bins
