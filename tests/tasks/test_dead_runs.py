"""A run whose process is gone is found by its last heartbeat, and is running no more once the doctor was there."""

from __future__ import annotations

import importlib
import pkgutil
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Running

import flows
from tasks import dead_runs
from tasks.lake.doctor import Finding


@flow(name="maintain")
def nothing() -> None:
    """Is never run: its runs are only noted."""


def running(beat: timedelta | None) -> UUID:
    """A run that the server takes for running, whose last heartbeat is so long ago."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(nothing, state=Running())
        if beat is not None:
            event = {
                "event": "prefect.flow-run.heartbeat",
                "occurred": (datetime.now(UTC) - beat).isoformat(),
                "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}"},
                "related": [],
                "payload": {},
                "id": str(uuid4()),
            }
            client._client.post("/events", json=[event]).raise_for_status()
        return run.id


def found(run: UUID, *, repair: bool = False) -> list[Finding]:
    return [each for each in dead_runs.dead_runs("a-lake", repair=repair) if str(run) in each.where]


def state(run: UUID) -> StateType:
    with get_client(sync_client=True) as client:
        told = client.read_flow_run(run).state
        assert told
        return told.type


def test_a_run_without_a_heartbeat_for_minutes_is_marked_as_crashed(prefect_server: None) -> None:
    dead, alive, unknown = running(timedelta(minutes=9)), running(timedelta(seconds=9)), running(None)
    for _ in range(100):  # the server writes events a little later
        if found(dead):
            break
        time.sleep(0.1)
    (told,) = found(dead)
    assert (told.what, told.repaired, state(dead)) == ("dead run", False, StateType.RUNNING)
    (mended,) = found(dead, repair=True)
    assert mended.repaired
    assert (state(dead), state(alive), state(unknown)) == (StateType.CRASHED, StateType.RUNNING, StateType.RUNNING)
    assert not found(dead)
    assert not found(alive)
    assert not found(unknown)


def test_the_runs_of_every_flow_are_looked_at() -> None:
    modules = [importlib.import_module(f"flows.{module.name}") for module in pkgutil.iter_modules(flows.__path__)]
    ours = {value.name for module in modules for value in vars(module).values() if isinstance(value, Flow)}
    assert ours == {*dead_runs.FLOWS}
