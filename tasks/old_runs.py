"""Task: let Prefect's server forget runs that ended long ago, where its database is this machine's own."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.exceptions import ObjectNotFound

from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault

MOST = 5_000
"""How many runs one maintenance removes at most: a hundredth of a second each."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@task(name="forget old runs", retries=RETRIES, retry_delay_seconds=DELAYS, retry_condition_fn=environment_fault)
def forget_old_runs(flows: Collection[str], days: int) -> int:
    """Remove the runs of these flows that ended more than so many days ago; how many there were.

    Prefect's own cleaning of its database removes everybody's runs, and none on the server that a command starts. A
    server elsewhere is its operator's business: nothing is removed there.
    """
    address = urlsplit(os.environ.get("PREFECT_API_URL", "")).hostname
    if address is not None and address not in LOOPBACK:
        return 0
    ended = FlowRunFilter(
        end_time=FlowRunFilterEndTime(before_=datetime.now(UTC) - timedelta(days=days)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    ours = FlowFilter(name=FlowFilterName(any_=list(flows)))
    removed = 0
    with get_client(sync_client=True) as client:
        while removed < MOST and (runs := client.read_flow_runs(flow_filter=ours, flow_run_filter=ended, limit=200)):
            for run in runs:
                try:
                    client.delete_flow_run(run.id)
                except ObjectNotFound:  # it went with the run that it was part of, or another maintenance took it
                    continue
            removed += len(runs)
    return removed
