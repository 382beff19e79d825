"""A run whose process was killed together with its worker is told to have crashed, whatever it was doing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import Automation
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from otzyv.flows.serving.deployments import CRASHED, SILENT, TAG, crashed, deploy
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake
from tests.flows.served import Served

OURS = f"{TAG} in a test"
ENDLESS = f"""
import time
from prefect import flow, runtime, tags

@flow
def inner():
    print(runtime.flow_run.id, flush=True)
    time.sleep(600)

@flow
def outer():
    print(runtime.flow_run.id, flush=True)
    inner()

with tags({OURS!r}):
    outer()
"""


@flow
def never_begun() -> None:
    """Is never run: a worker has taken it."""


def state(client: SyncPrefectClient, run: UUID) -> str | None:
    return client.read_flow_run(run).state_name


def test_only_our_runs_crash_when_they_fall_silent_and_those_as_well_that_never_began(served: Served) -> None:
    there = temporary_settings({PREFECT_API_URL: f"{served.url}/api", PREFECT_API_AUTH_STRING: served.login})
    with there, get_client(sync_client=True) as client:
        client.create_automation(crashed(OURS, timedelta(seconds=10)).model_copy(update={"name": OURS}))
        taken, others = (client.create_flow_run(never_begun, state=Pending(), tags=tags).id for tags in ([OURS], []))
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS], env={**os.environ, **served.environment}, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            try:
                said = [process.stdout.readline().decode().strip() for _ in range(2)]
                time.sleep(1)  # so that the first heartbeat has left
            finally:
                process.kill()
        outer, inner = map(UUID, said)
        for _ in range(60):
            if state(client, others) != "Pending" or {state(client, run) for run in (taken, outer, inner)} == {
                "Crashed"
            }:
                break
            time.sleep(0.5)
        assert [state(client, run) for run in (taken, outer, inner, others)] == ["Crashed"] * 3 + ["Pending"]


def test_serving_brings_an_older_automation_up_to_date_and_leaves_one_that_is(
    prefect_server: None, tmp_path: Path
) -> None:
    lake, settings = Lake.create(tmp_path).uri, Settings(cron="0 0 1 1 *")
    with get_client(sync_client=True) as client:

        def told() -> Automation:
            (only,) = client.read_automations_by_name(CRASHED)
            return only

        deploy(lake, settings)
        first = told()
        client.update_automation(first.id, crashed("another", 2 * SILENT))
        deploy(lake, settings)
        renewed = told()
        assert renewed.trigger == first.trigger
        deploy(lake, settings)
        assert told() == renewed, "it has not been written again"
