"""Runs that Prefect's server takes for running although their process is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventOrder,
    EventResourceFilter,
)
from prefect.states import Crashed

from tasks.lake.doctor import Finding

FLOWS = ("daily", "ingest", "features", "backfill", "backfill days", "fit", "adapt", "quality", "maintain")
SILENT = timedelta(minutes=5)
"""A run tells that it lives every half a minute, unless heartbeats are off."""
LONGEST = timedelta(days=7)
"""How long the server keeps heartbeats."""


def dead_runs(lake: str, *, repair: bool = False) -> Iterator[Finding]:
    """Our runs without a heartbeat for minutes. With ``repair`` they are marked as crashed, so that others may go on.

    Of a run that never had one nobody can tell: it is named after a day, and left as it is. ``lake``: the one that the
    doctor is run on.
    """
    with get_client(sync_client=True) as client:
        running = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING]))
            ),
        )
        for run in running:
            now = datetime.now(UTC)
            beat = _heartbeat(client, run.id, now)
            where = f"{client.api_url} flow run {run.name} ({run.id})"
            if beat is None:
                if run.start_time and now - run.start_time > timedelta(days=1):
                    todo = "it has no heartbeats: if its process is gone, cancel it in Prefect's pages"
                    yield Finding("dead run", where, todo=todo)
            elif now - beat > SILENT and not repair:
                yield Finding("dead run", where, todo=f"otzyv doctor --lake {lake} --repair")
            elif now - beat > SILENT:
                said = f"no heartbeat since {beat:%Y-%m-%d %H:%M:%S} UTC; otzyv doctor"
                client.set_flow_run_state(run.id, Crashed(message=said), force=True)
                yield Finding("dead run", where, "marked as crashed", "run it again: it does what is left", True)


def _heartbeat(client: SyncPrefectClient, run: UUID, now: datetime) -> datetime | None:
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
        occurred=EventOccurredFilter(since=now - LONGEST, until=now),
        order=EventOrder.DESC,
    )
    page = client.read_events(filter=wanted, limit=1)
    return page.events[0].occurred if page.events else None
