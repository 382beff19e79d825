"""A run whose process is gone is found by its last heartbeat, and is running no more once the doctor was there."""

from __future__ import annotations

import importlib
import pkgutil
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect import Flow, State, flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling, Completed, Pending, Running

import otzyv.flows
from otzyv.flows.maintain import NAMES
from otzyv.flows.serving.deployments import FLOWS, WITHIN
from otzyv.tasks import dead_runs
from otzyv.tasks.lake.upkeep.doctor import Finding


@flow(name="maintain")
def nothing(lake: str) -> None:
    """Is never run: its runs are only noted."""


@task
def step() -> None:
    """Is never run either."""


def running(beat: timedelta | None, lake: str = "a-lake", within: UUID | None = None) -> UUID:
    """A run that the server takes for running, whose last heartbeat is so long ago."""
    with get_client(sync_client=True) as client:
        parent = client.create_task_run(step, within, dynamic_key=str(uuid4())).id if within else None
        run = client.create_flow_run(nothing, parameters={"lake": lake}, state=Running(), parent_task_run_id=parent)
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


def turn(run: UUID, to: State) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, to, force=True)


def found(run: UUID, *, repair: bool = False) -> list[Finding]:
    return [each for each in dead_runs.dead_runs("a-lake", FLOWS, repair=repair) if str(run) in each.where]


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


def test_a_run_without_heartbeats_is_named_once_it_is_quiet_and_dead_once_it_was_cancelled(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = running(None)
    part = running(None, within=command)
    other = running(None, "another-lake")
    monkeypatch.setattr(dead_runs, "QUIET", timedelta(0))
    monkeypatch.setattr(dead_runs, "SILENT", timedelta(0))
    (told,) = found(command, repair=True)
    assert (told.repaired, state(command)) == (False, StateType.RUNNING)
    assert f"prefect flow-run cancel {command}" in told.todo
    assert not found(part), "of which the whole tells"
    assert not found(other)
    turn(command, Cancelling())
    assert found(part)[0].todo == "otzyv doctor --lake a-lake --repair"
    list(dead_runs.dead_runs("a-lake", FLOWS, repair=True))
    assert {state(command), state(part)} == {StateType.CRASHED}
    assert state(other) is StateType.RUNNING


def test_what_goes_on_within_a_run_is_a_sign_of_its_life(prefect_server: None) -> None:
    signs = []
    with get_client(sync_client=True) as client:
        inner = run = running(None)
        for _ in range(3):
            signs.append(dead_runs._last_sign(client, client.read_flow_run(run), datetime.now(UTC)))
            inner = running(None, within=inner)
    assert None not in signs
    assert len(set(signs)) == 3
    assert signs == sorted(filter(None, signs))


def test_a_run_within_one_that_has_ended_is_dead(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, other = running(None), running(None)
    parts = [running(None, within=each) for each in (whole, other)]
    turn(whole, Completed())
    assert not found(parts[0]), "it may be about to end as well"
    monkeypatch.setattr(dead_runs, "SILENT", timedelta(0))
    assert found(parts[0], repair=True)[0].repaired
    assert [state(part) for part in parts] == [StateType.CRASHED, StateType.RUNNING]


def test_the_runs_of_every_flow_are_looked_at() -> None:
    modules = [
        importlib.import_module(f"otzyv.flows.{module.name}") for module in pkgutil.iter_modules(otzyv.flows.__path__)
    ]
    ours = {value.name for module in modules for value in vars(module).values() if isinstance(value, Flow)}
    assert ours == {*FLOWS, *WITHIN} == {*NAMES}


def test_a_run_that_is_tried_again_is_not_dead_for_the_silence_before_that(prefect_server: None) -> None:
    dead, again = running(timedelta(minutes=9)), running(timedelta(minutes=9))
    for _ in range(100):
        if found(dead) and found(again):
            break
        time.sleep(0.1)
    assert found(again)
    turn(again, Pending())
    turn(again, Running())
    assert not found(again)
    assert found(dead)
