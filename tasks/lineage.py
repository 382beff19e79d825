"""Task: tell an OpenLineage receiver of which tables each table's day was made, where the settings want it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prefect import get_run_logger, task

from otzyv.schemas.tables import CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.contents import source
from otzyv.tasks.pipeline.make import TableRun

if TYPE_CHECKING:
    from openlineage.client.client import Event

PRODUCER = f"urn:otzyv:{version('otzyv')}"
NAMESPACE = "otzyv"
"""Of the jobs, each named as the table that it makes."""
WITHOUT_GIT = {"facets": {"source_code_location": {"disabled": True}}}
"""The client else names the git repository of the folder that it runs in, whosever that is."""
MOST_SAID = 500
"""Letters of an error."""
WAIT = 10.0
"""Seconds that a transport which sends in the background may take to end."""


@task(name="lineage", task_run_name="lineage")
def lineage(lake_uri: str, runs: Sequence[TableRun]) -> None:
    """Two events, START and then COMPLETE or FAIL, for every table and day that was written or failed.

    Where they go, the client's own settings say (``OPENLINEAGE_URL``, ``OPENLINEAGE_API_KEY``, ``OPENLINEAGE_CONFIG``).
    They hold names, days, counts and errors, nothing of a review. A receiver that does not answer fails no run: what is
    left of the events is dropped.
    """
    logging.getLogger("openlineage").setLevel(logging.ERROR)
    from openlineage.client import OpenLineageClient

    lake = Lake(lake_uri)
    try:
        client = OpenLineageClient(config=WITHOUT_GIT)
        for run in runs:
            if run.state in ("published", "failed"):
                for event in _events(lake, run):
                    client.emit(event)
        client.close(WAIT)
    except Exception as error:  # whatever a transport raises; its text may hold the address, which may be secret
        get_run_logger().warning("OpenLineage events could not be sent: %s", type(error).__name__)


def _events(lake: Lake, run: TableRun) -> Iterator[Event]:
    from openlineage.client import event_v2, facet_v2
    from openlineage.client.uuid import generate_new_uuid

    midnight = datetime.combine(run.day, time(), lake.constants.zone)
    nominal = facet_v2.nominal_time_run.NominalTimeRunFacet(
        midnight.isoformat(), datetime.combine(run.day + timedelta(days=1), time(), lake.constants.zone).isoformat()
    )
    facets: dict[str, facet_v2.RunFacet] = {"nominalTime": nominal}
    if run.error is not None:
        facets["errorMessage"] = facet_v2.error_message_run.ErrorMessageRunFacet(run.error[:MOST_SAID], "python")
    counts = facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=run.rows)
    job, this = event_v2.Job(NAMESPACE, run.table), event_v2.Run(str(generate_new_uuid(run.started_at)), facets)
    made_of = [event_v2.InputDataset(*_dataset(lake, _read(run.table)))]
    made = [event_v2.OutputDataset(*_dataset(lake, run.table), outputFacets={"outputStatistics": counts})]
    ended = event_v2.RunState.FAIL if run.state == "failed" else event_v2.RunState.COMPLETE
    for state, at in ((event_v2.RunState.START, run.started_at), (ended, datetime.now(UTC))):
        yield event_v2.RunEvent(
            eventTime=at.isoformat(),
            producer=PRODUCER,
            run=this,
            job=job,
            eventType=state,
            inputs=made_of,
            outputs=[] if state is event_v2.RunState.START or run.state == "failed" else made,
        )


def _read(table: str) -> str:
    """The name of the table that a feature table is made of."""
    if table == CLEAN_TEXT.name:
        return REVIEWS.name
    card = get(table).card
    if card.modality == "vector":
        assert card.reads is not None
        return card.reads.name
    return source(card.modality).name


def _dataset(lake: Lake, table: str) -> tuple[str, str]:
    """Namespace and name of a table, as OpenLineage names what lies on a disk or in a bucket."""
    from openlineage.client.naming.dataset import S3, LocalFileSystem

    place = lake.storage.at(table)
    if lake.storage.remote:
        told = urlsplit(place)
        named = S3(told.netloc, told.path.lstrip("/"))
        return named.get_namespace(), named.get_name()
    here = LocalFileSystem(str(Path(place).absolute()))
    return here.get_namespace(), here.get_name()
