"""Child runs of a flow: on a worker where the parent runs on one, else right here."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
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

CALLED_OFF = "Called off"
"""The name of a child's state that has begun nothing."""
DAILY = "features"
"""The deployment whose runs go before a backfill's days; like all of a lake's, its name may go on with the lake's."""


class Ended(StrEnum):
    """How a child ended. ``called off``: before it began anything, as something else went first."""

    WELL = "well"
    CALLED_OFF = "called off"
    BADLY = "badly"


def run_child(flow: Flow[..., Any], key: str, **parameters: Any) -> Ended:
    """Run a flow as a child of this run and wait for its end; returns how it ended.

    ``key`` makes a child one: asked for twice, because the answer was lost, the server gives the same run, even one
    that has ended. Each attempt at this run has children of its own. The child's deployment is that of the parent's
    lake.
    """
    if runtime.deployment.id is None:
        flow(**parameters)
        return Ended.WELL
    parent, attempt = str(runtime.flow_run.id), runtime.flow_run.run_count
    run: Any = run_deployment(
        f"{flow.name}/{flow.name}{_of_lake(runtime.flow_run.flow_name)}",
        parameters=to_jsonable_python(parameters | {"parent": parent, "attempt": attempt}),
        idempotency_key=f"{parent}-{attempt}-{key}",
        poll_interval=1,
    )
    if run.state and run.state.is_completed():
        return Ended.WELL
    return Ended.CALLED_OFF if run.state and run.state.name == CALLED_OFF else Ended.BADLY


def called_off(parent: str | None, attempt: int) -> str | None:
    """Why a child is to begin nothing more, None where it may.

    Its parent has ended or was begun again, with children of its own, or a daily run waits for a place to run in.
    """
    if parent is None:
        return None
    daily = f"{DAILY}{_of_lake(runtime.flow_run.flow_name)}"
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(parent))
        if run.run_count != attempt or (run.state and (run.state.is_final() or run.state.is_cancelling())):
            return "its backfill has ended, or was begun again"
        waiting = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[daily])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
            ),
            limit=1,
        )
    return "a daily run goes first" if waiting else None


def _of_lake(flow: str) -> str:
    """What the deployment of this run has in its name after the flow's."""
    return str(runtime.deployment.name).removeprefix(flow)
