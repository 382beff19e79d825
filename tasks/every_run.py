"""All the runs that Prefect's server knows of a kind: it hands out 200 at a time at most, and cuts off the rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

PAGE = 200
"""The most that Prefect's server gives in one answer."""


def every_run(
    client: SyncPrefectClient,
    runs: FlowRunFilter,
    *,
    flows: FlowFilter | None = None,
    deployments: DeploymentFilter | None = None,
) -> Iterator[FlowRun]:
    """Each run once, in the order of their ids.

    A run that leaves the kind between two pages may hide another one from this look; the next look sees it.
    """
    seen: set[UUID] = set()
    for page in count():
        found = client.read_flow_runs(
            flow_run_filter=runs,
            flow_filter=flows,
            deployment_filter=deployments,
            sort=FlowRunSort.ID_DESC,
            limit=PAGE,
            offset=page * PAGE,
        )
        yield from (run for run in found if run.id not in seen)
        seen.update(run.id for run in found)
        if len(found) < PAGE:
            return
