"""Bring a source's records into the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import flow
from pydantic import SecretStr

from otzyv.flows.settings import Settings
from otzyv.schemas.errors import WorkFailed
from otzyv.tasks.ingest import ingest as bring_in
from otzyv.tasks.ingest_artifact import ingest_artifact
from otzyv.tasks.pipeline.ingest import Accounting, Source


class IngestFailed(WorkFailed):
    """Files of a source are damaged, or too much was refused; what was accepted is in, as the accounting tells."""

    def __init__(self, accounting: Accounting) -> None:
        self.accounting = accounting
        super().__init__("; ".join(accounting.failures))


@flow(name="ingest", validate_parameters=False)
def ingest(lake: str, source: Source, author_key: SecretStr, days: Sequence[date] | None = None) -> Accounting:
    """Read, refuse, deduplicate and upsert: every record is accounted for.

    The key is wrapped because Prefect keeps a flow's parameters, in its database and on the run's page. Raises
    IngestFailed if files are damaged or more was refused than the source allows, after the rest was brought in.
    """
    accounting = bring_in(lake, source, author_key.get_secret_value(), days)
    ingest_artifact(source.path, accounting)
    if accounting.failures:
        raise IngestFailed(accounting)
    return accounting


def chosen(
    path: str, settings: Settings, *, name: str | None = None, allow_empty: bool = False, allow_gone: bool = False
) -> Source:
    """A source as the settings want it read."""
    return Source(
        path,
        settings.source_mode,
        settings.mapping,
        allow_empty=allow_empty,
        encoding=settings.encoding,
        dates=settings.dates,
        allow_gone=allow_gone or settings.allow_gone,
        name=name or settings.source_name,
        refused_share=settings.refused_share,
        redact=settings.redact.kinds,
        hosts=tuple(settings.attachment_hosts),
    )
