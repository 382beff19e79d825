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
"""The deployment whose runs go before a backfill's days."""


def run_child(flow: Flow[..., None], key: str, **parameters: Any) -> None:
    """Run a flow as a child of this run and wait for its end, however it ends.

    ``key`` makes a child one: asked for twice with the same key, the server gives the same run. It must therefore
    count attempts. The flow's deployment has its own name.
    """
    if runtime.deployment.id is None:
        flow(**parameters)
        return
    parameters["parent"] = str(runtime.flow_run.id)
    run_deployment(
        f"{flow.name}/{flow.name}", parameters=to_jsonable_python(parameters), idempotency_key=key, poll_interval=1
    )


def called_off(parent: str | None) -> bool:
    """Whether a child is to begin nothing more: its parent has ended, or a daily run waits for a place to run in."""
    if parent is None:
        return False
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(parent)).state
        if state is not None and (state.is_final() or state.is_cancelling()):
            return True
        waiting = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DAILY])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
            ),
            limit=1,
        )
    return bool(waiting)
