"""Bring a source's records into the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import flow

from tasks.ingest import Accounting, Source
from tasks.ingest import ingest as bring_in


@flow(name="ingest", validate_parameters=False)
def ingest(lake: str, source: Source, author_key: str, days: Sequence[date] | None = None) -> Accounting:
    """Read, refuse, deduplicate and upsert: every record is accounted for."""
    return bring_in(lake, source, author_key, days)
