"""Runs that Prefect's server takes for running although their process is gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import TaskRunSort
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventOrder,
    EventResourceFilter,
)
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from otzyv.tasks.every_run import every_run
from otzyv.tasks.lake.delta.storage import Storage, StorageError
from otzyv.tasks.lake.upkeep.doctor import Finding

SILENT = timedelta(minutes=5)
"""A run tells that it lives every half a minute, unless heartbeats are off."""
QUIET, QUIET_SERVED = timedelta(hours=1), timedelta(days=1)
"""After what time without any sign of life a run that has no heartbeats is named; one of a deployment later."""
LONGEST = timedelta(days=7)
"""How long the server keeps heartbeats."""


def dead_runs(lake: str, flows: Collection[str], *, repair: bool = False) -> Iterator[Finding]:
    """Runs of a lake whose process is gone. With ``repair`` they are marked as crashed, so that others may go on.

    They have had no heartbeat for minutes. Runs of the command that start a server of their own have none: they are
    dead once somebody has cancelled them, and with the run that they are part of. Else nobody can tell, as they may
    live and use another server on the same database: without any sign of life for long they are named, and left as
    they are. ``lake``: the one that the doctor is run on; ``flows``: the names of those whose runs are ours.
    """
    with get_client(sync_client=True) as client:
        running = every_run(
            client,
            FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING]))
            ),
            flows=FlowFilter(name=FlowFilterName(any_=list(flows))),
        )
        now, mend = datetime.now(UTC), f"otzyv doctor --lake {lake} --repair"
        # All are judged before any is marked: a run is dead with the one that it is part of.
        judged = [(run, _death(client, run, now)) for run in running if _of(run, Storage(lake))]
        for run, why in judged:
            where = f"{client.api_url} flow run {run.name} ({run.id})"
            if why and repair:
                client.set_flow_run_state(run.id, Crashed(message=f"{why}; otzyv doctor"), force=True)
                yield Finding("dead run", where, "marked as crashed", "run it again: it does what is left", True)
            elif why:
                yield Finding("dead run", where, todo=mend)
            elif (sign := _last_sign(client, run, now)) and now - sign > (QUIET_SERVED if run.deployment_id else QUIET):
                todo = f"no sign of life since {sign:%Y-%m-%d %H:%M:%S} UTC: if its process is gone, cancel it"
                yield Finding("dead run", where, todo=f"{todo} (prefect flow-run cancel {run.id}), then {mend}")


def _of(run: FlowRun, lake: Storage) -> bool:
    try:
        return Storage(str(run.parameters["lake"])) == lake
    except (KeyError, StorageError):
        return False


def _death(client: SyncPrefectClient, run: FlowRun, now: datetime) -> str | None:
    """Why it is certain that a run's process is gone, None where it is not."""
    beat = last_heartbeat(client, run.id, now)
    if beat and begins_again(run) and run.state and beat < run.state.timestamp:
        beat = run.state.timestamp  # it has begun since
    if beat:
        return f"no heartbeat since {beat:%Y-%m-%d %H:%M:%S} UTC" if now - beat > SILENT else None
    state = run.state
    parent = None if run.deployment_id else parent_of(client, run)
    if parent is None:
        if state and state.is_cancelling() and now - state.timestamp > SILENT:
            return f"cancelled at {state.timestamp:%Y-%m-%d %H:%M:%S} UTC, and nobody ends it"
        return None
    if parent.state and parent.state.is_final():
        ended = f"the run {parent.name} that it is part of has ended"
        return ended if now - parent.state.timestamp > SILENT else None
    return _death(client, parent, now)


def begins_again(run: FlowRun) -> bool:
    """Whether its heartbeats so far may be of an earlier attempt: it is about to run, or has run before."""
    if run.state is None or run.state.is_cancelling():
        return False
    return run.state.is_pending() or (run.start_time is not None and run.start_time < run.state.timestamp)


def parent_of(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    if run.parent_task_run_id is None:
        return None
    try:
        within = client.read_task_run(run.parent_task_run_id).flow_run_id
        return client.read_flow_run(within) if within else None
    except ObjectNotFound:
        return None


def _last_sign(client: SyncPrefectClient, run: FlowRun, now: datetime) -> datetime | None:
    """When a run without heartbeats, a run within it or one of their tasks last changed; None of one with heartbeats.

    Of a run that is part of another that other one tells.
    """
    if (run.parent_task_run_id and not run.deployment_id) or last_heartbeat(client, run.id, now):
        return None
    runs = [run]
    signs: list[datetime | None] = [run.start_time]
    while runs:
        ids = [each.id for each in runs]
        tasks = client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=ids)),
            sort=TaskRunSort.EXPECTED_START_TIME_DESC,
        )
        states = [*(each.state for each in runs), *(each.state for each in tasks)]
        signs += [each.timestamp for each in states if each]
        inner = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=ids))
        runs = list(every_run(client, inner))
    return max(sign for sign in signs if sign)


def last_heartbeat(client: SyncPrefectClient, run: UUID, now: datetime) -> datetime | None:
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
        occurred=EventOccurredFilter(since=now - LONGEST, until=now),
        order=EventOrder.DESC,
    )
    page = client.read_events(filter=wanted, limit=1)
    return page.events[0].occurred if page.events else None
