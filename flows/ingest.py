"""Bring a source's records into the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import flow
from pydantic import SecretStr

from tasks.ingest import Accounting, Source
from tasks.ingest import ingest as bring_in


@flow(name="ingest", validate_parameters=False)
def ingest(lake: str, source: Source, author_key: SecretStr, days: Sequence[date] | None = None) -> Accounting:
    """Read, refuse, deduplicate and upsert: every record is accounted for.

    The key is wrapped because Prefect keeps a flow's parameters, in its database and on the run's page.
    """
    return bring_in(lake, source, author_key.get_secret_value(), days)
