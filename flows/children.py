"""Child runs of a flow: on a worker where the parent runs on one, else right here."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect import Flow, State, runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import Pause
from prefect.states import Cancelling
from pydantic_core import to_jsonable_python

from otzyv.flows.paused import let_resume, stuck

CALLED_OFF = "Called off"
"""The name of a child's state that has left days to another one, as something else went first."""
TABLES_FAILED = "Tables failed"
"""The name of a child's state that has made its days, some of their tables aside."""
DAILY = "features"
"""The deployment whose runs go before a backfill's days; like all of a lake's, its name may go on with the lake's."""
LOOK = 1.0
"""Seconds between two looks at a child."""
CANCELLED_SECONDS, PAUSED_SECONDS = 20.0, 120.0
"""How long a child is waited for whose parent is cancelled (after half a minute it would be killed) or paused."""


class Ended(StrEnum):
    """How a child ended. ``well``: it did all that it was given, even if tables failed.

    ``called off``: it left the rest to another one, as something else went first.
    """

    WELL = "well"
    CALLED_OFF = "called off"
    BADLY = "badly"


def run_child(
    flow: Flow[..., Any],
    key: str,
    looked: Callable[[FlowRun], None] = lambda _: None,
    stopped: Callable[[BaseException], None] = lambda _: None,
    **parameters: Any,
) -> Ended:
    """Run a flow as a child of this run and wait for its end; returns how it ended.

    ``key`` makes a child one: asked for twice, because the answer was lost, the server gives the same run, even one
    that has ended. Each attempt at this run, also one after a pause, has children of its own. The child's deployment is
    that of the parent's lake. ``looked`` is called at each look at the child, and ``stopped`` where this run is ended,
    before its child is waited for: there may be no time left after that.

    Where this run is cancelled, its child is as well. Raises Pause where this run is paused; its child then ends by
    itself.
    """
    if runtime.deployment.id is None:
        call: Callable[..., State[Any]] = flow
        here = call(**parameters, return_state=True)
        if here.name not in (CALLED_OFF, TABLES_FAILED):
            here.result()  # raises what the flow has raised
        return _ended(here)
    parent = UUID(str(runtime.flow_run.id))
    with get_client(sync_client=True) as client:
        attempt = _unpaused(client, parent).state_id
        run: FlowRun = run_deployment(  # type: ignore[assignment]
            f"{flow.name}/{flow.name}{_of_lake(runtime.flow_run.flow_name)}",
            parameters=to_jsonable_python(parameters | {"parent": str(parent), "attempt": str(attempt)}),
            idempotency_key=f"{parent}-{attempt}-{key}",
            timeout=0,
        )
        try:
            while not (run.state and run.state.is_final()):
                time.sleep(LOOK)
                looked(run)
                _unpaused(client, parent)
                run = client.read_flow_run(run.id)
        except Pause as pause:
            stopped(pause)
            _await_end(run.id, PAUSED_SECONDS, lambda client: _is_paused(client.read_flow_run(parent)))
            raise
        except BaseException as error:  # cancelled: else the child would go on with its days
            stopped(error)
            _cancel(run.id)
            raise
    return _ended(run.state)


def _ended(state: State[Any]) -> Ended:
    if state.is_completed() or state.name == TABLES_FAILED:
        return Ended.WELL
    return Ended.CALLED_OFF if state.name == CALLED_OFF else Ended.BADLY


def _is_paused(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_paused()


def _unpaused(client: SyncPrefectClient, run_id: UUID) -> FlowRun:
    """The run. Raises Pause where somebody has paused it: its process ends, and Resume starts another one."""
    run = client.read_flow_run(run_id)
    if run.state is not None and run.state.is_paused():
        if stuck(run):
            let_resume(client, run)
        raise Pause(state=run.state)
    return run


def _cancel(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelling(message="its backfill was cancelled"))
    _await_end(run_id, CANCELLED_SECONDS)


def _await_end(run_id: UUID, seconds: float, going: Callable[[SyncPrefectClient], bool] = lambda _: True) -> None:
    """Wait until a run has ended, for at most so long, and while ``going``."""
    until = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while time.monotonic() < until and going(client):
            run = client.read_flow_run(run_id)
            if run.state and run.state.is_final():
                return
            time.sleep(LOOK)


def called_off(parent: str | None, attempt: str | None) -> str | None:
    """Why a child is to begin nothing more, None where it may.

    Its parent has ended, is paused, or was begun again, with children of its own; or a daily run waits for a place to
    run in. ``attempt``: the id of the state that the parent was in when it started the child.
    """
    if parent is None:
        return None
    daily = f"{DAILY}{_of_lake(runtime.flow_run.flow_name)}"
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(parent))
        if _is_paused(run):
            return "its backfill is paused"
        if str(run.state_id) != attempt:
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
