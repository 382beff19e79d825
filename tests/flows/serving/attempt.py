"""An attempt at a backfill as a worker makes it, but in this process."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from otzyv.flows.backfill import backfill
from tests.flows.served import Served


def begun(served: Served, request: dict[str, Any]) -> str:
    """A run that no worker will take."""
    deployment = served.deployment("backfill/backfill")
    given = {"parameters": {"lake": served.lake.uri, "request": request}, "state": {"type": "PENDING"}}
    return str(served.post(f"deployments/{deployment['id']}/create_flow_run", **given)["id"])


def attempt(served: Served, url: str, run_id: str) -> None:
    """Raises what ends a run early, as Pause."""
    login = {PREFECT_API_URL: f"{url}/api", PREFECT_API_AUTH_STRING: served.login}
    with temporary_settings(login), get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), Pending(), force=True)
        run_flow(backfill, flow_run=client.read_flow_run(UUID(run_id)), return_type="state")
