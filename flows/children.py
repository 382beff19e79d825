"""Child runs of a flow: on a worker where the parent runs on one, else right here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import Flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from pydantic_core import to_jsonable_python

DAILY = "features"
"""The deployment whose runs go before a backfill's days; like all of a lake's, its name may go on with the lake's."""


def run_child(flow: Flow[..., None], key: str, **parameters: Any) -> bool:
    """Run a flow as a child of this run and wait for its end; returns whether it ended well.

    ``key`` makes a child one: asked for twice, because the answer was lost, the server gives the same run, even one
    that has ended. Each attempt at this run has children of its own. The child's deployment is that of the parent's
    lake.
    """
    if runtime.deployment.id is None:
        flow(**parameters)
        return True
    parent, attempt = str(runtime.flow_run.id), runtime.flow_run.run_count
    run: Any = run_deployment(
        f"{flow.name}/{flow.name}{_of_lake(runtime.flow_run.flow_name)}",
        parameters=to_jsonable_python(parameters | {"parent": parent, "attempt": attempt}),
        idempotency_key=f"{parent}-{attempt}-{key}",
        poll_interval=1,
    )
    return bool(run.state and run.state.is_completed())


def called_off(parent: str | None, attempt: int) -> bool:
    """Whether a child is to begin nothing more.

    Its parent has ended or was begun again, with children of its own, or a daily run waits for a place to run in.
    """
    if parent is None:
        return False
    daily = f"{DAILY}{_of_lake(runtime.flow_run.flow_name)}"
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(parent))
        if run.run_count != attempt or (run.state and (run.state.is_final() or run.state.is_cancelling())):
            return True
        waiting = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[daily])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
            ),
            limit=1,
        )
    return bool(waiting)


def _of_lake(flow: str) -> str:
    """What the deployment of this run has in its name after the flow's."""
    return str(runtime.deployment.name).removeprefix(flow)
