"""Runs that have lost their process are ended, and no run that lives: not one that starts slowly or falls silent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect import State, flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling, Completed, Pending, Running, Scheduled, Suspended

from otzyv.flows.server.pools import this_machine
from otzyv.flows.serving.watch import QUIET, SILENT, STRAY, UNBORN, Watch

pytestmark = pytest.mark.usefixtures("prefect_server")
HOUR = timedelta(hours=1)


@flow(name="nothing")
def nothing() -> None:
    """Is never run: its runs are only noted."""


@task
def step() -> None:
    """Is never run either."""


class Made:
    """A pool of its own, runs in it that are only noted, and what became of them."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.client, self.pool, self.tag = client, f"pool {uuid4()}", f"tag {uuid4()}"
        client.create_work_pool(WorkPoolCreate(name=self.pool, type="process"))
        self.watch = Watch([self.pool], self.tag)

    def run(
        self, state: State, taker: str | None = None, beat: timedelta | None = None, *, pool: str | None = None
    ) -> UUID:
        """A run whose worker was ``taker`` and whose last heartbeat is so long ago."""
        told = {"flow_id": str(self.client.create_flow(nothing)), "work_pool_name": pool or self.pool}
        state_told = state.model_dump(mode="json", include={"type", "name", "message"})
        made = self.client._client.post("/flow_runs/", json=told | {"state": state_told, "tags": [self.tag]})
        run = UUID(made.raise_for_status().json()["id"])
        if taker:
            self.client.update_flow_run_labels(run, {"prefect.worker.name": taker})
        if beat is not None:
            self.beat(run, beat)
        return run

    def within(self, run: UUID) -> UUID:
        parent = self.client.create_task_run(step, run, dynamic_key=str(uuid4())).id
        return self.client.create_flow_run(nothing, state=Running(), tags=[self.tag], parent_task_run_id=parent).id

    def beat(self, run: UUID, ago: timedelta) -> None:
        event = {
            "event": "prefect.flow-run.heartbeat",
            "occurred": (datetime.now(UTC) - ago).isoformat(),
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
            "related": [],
            "payload": {},
            "id": str(uuid4()),
        }
        self.client._client.post("/events", json=[event]).raise_for_status()

    def state(self, run: UUID) -> StateType:
        told = self.client.read_flow_run(run).state
        assert told
        return told.type

    def states(self, *runs: UUID) -> list[str]:
        return [self.state(run).value for run in runs]

    def looked(self, times: int = 2) -> list[str]:
        """What was said in so many looks, of a server that has answered for an hour."""
        self.watch.since = datetime.now(UTC) - HOUR
        return [line for _ in range(times) for line in self.watch.look()]


@pytest.fixture
def made() -> Iterator[Made]:
    with get_client(sync_client=True) as client:
        yield Made(client)


def test_at_the_start_all_runs_of_this_machine_without_a_process_are_ended_and_none_that_has_one(made: Made) -> None:
    here = this_machine()
    running, pending, cancelled = made.run(Running(), here), made.run(Pending(), here), made.run(Cancelling(), here)
    untaken, waiting, within = made.run(Pending()), made.run(Scheduled()), made.within(running)
    elsewhere = made.run(Running(), "another machine", beat=timedelta(seconds=5))
    made.client.create_work_pool(WorkPoolCreate(name=f"other {made.pool}", type="process"))
    of_another_pool = made.run(Pending(), here, pool=f"other {made.pool}")
    alive = made.run(Running(), here)
    with subprocess.Popen(
        ["sh", "-c", "read _", "-m", "prefect.engine"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PREFECT__FLOW_RUN_ID": str(alive)},
    ) as process:
        said = list(made.watch.end_all("its process is gone"))
        process.kill()
    assert made.states(running, within, pending, untaken) == ["CRASHED"] * 4
    assert made.states(cancelled) == ["CANCELLED"], "as somebody had asked"
    assert made.states(waiting, elsewhere, alive, of_another_pool) == ["SCHEDULED", "RUNNING", "RUNNING", "PENDING"]
    assert len(said) == 5
    assert all(line.endswith(": its process is gone") for line in said)
    assert not list(made.watch.end_all("again"))[1:], "the one that was killed meanwhile"
    assert made.states(alive) == ["CRASHED"]


def test_at_the_end_they_are_cancelled(made: Made) -> None:
    run = made.run(Running(), this_machine())
    list(made.watch.end_all("otzyv serve was stopped", cancelled=True))
    assert made.states(run) == ["CANCELLED"]


def test_while_workers_work_a_run_that_starts_slowly_or_just_ended_is_left_alone(made: Made) -> None:
    slow = made.run(Pending(), this_machine())
    ending = made.run(Running(), this_machine())
    assert not made.looked(1), "its worker may be about to tell how it ended"
    made.client.set_flow_run_state(ending, Completed(), force=True)
    assert not made.looked(2)
    lost = made.run(Running(), this_machine())
    assert len(made.looked(2)) == 1
    assert made.states(slow, ending, lost) == ["PENDING", "COMPLETED", "CRASHED"]


def test_elsewhere_heartbeats_tell_and_a_run_that_reports_again_is_not_dead(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, loud = (made.run(Running(), "another machine", beat=SILENT + s * timedelta(seconds=30)) for s in (1, -1))
    unborn, command = made.run(Running(), "another machine"), made.client.create_flow_run(nothing, state=Running()).id
    for _ in range(100):  # the server writes events a little later
        if made.looked(2):
            break
    assert made.states(silent, loud, unborn, command) == ["CRASHED", "RUNNING", "RUNNING", "RUNNING"]
    told = made.client.read_flow_run(silent).state
    assert told
    assert told.message == QUIET
    made.beat(silent, timedelta(0))
    for _ in range(100):
        if made.looked(1):
            break
    assert made.states(silent) == ["RUNNING"]
    monkeypatch.setattr("otzyv.flows.serving.watch.UNBORN", timedelta(0))
    assert len(made.looked(2)) == 1
    assert made.states(unborn) == ["CRASHED"]
    assert timedelta(minutes=5) < UNBORN


def test_a_server_that_was_away_for_long_makes_no_run_dead(made: Made) -> None:
    silent = made.run(Running(), "another machine", beat=HOUR)
    for _ in range(20):
        assert not list(made.watch.look()), "heartbeats may have been lost until now"
    assert made.states(silent) == ["RUNNING"]


def test_a_run_within_one_that_has_ended_is_ended(made: Made) -> None:
    whole = made.run(Running(), this_machine())
    part = made.within(whole)
    made.client.set_flow_run_state(whole, Completed(), force=True)
    assert len(made.looked(2)) == 1
    assert made.states(part) == ["CRASHED"]


def test_a_run_that_is_tried_again_may_start_slowly_whatever_its_first_attempt_has_told(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is elsewhere, and its last heartbeat is of an hour ago: it has 15 minutes to begin."""
    slow, dead = (made.run(Pending(), "another machine", beat=HOUR) for _ in range(2))
    running = made.run(Running(), "another machine", beat=HOUR)
    made.client.set_flow_run_state(running, Pending(), force=True)
    made.client.set_flow_run_state(running, Running(), force=True)
    for _ in range(20):
        assert not made.looked(2)
    assert made.states(slow, dead, running) == ["PENDING", "PENDING", "RUNNING"]
    monkeypatch.setattr("otzyv.flows.serving.watch.UNBORN", timedelta(0))
    assert len(made.looked(2)) == 3
    made.beat(slow, timedelta(0))
    for _ in range(100):
        if made.looked(1):
            break
    assert made.states(slow, dead) == ["RUNNING", "CRASHED"], "one that reports after all is not dead"


def test_a_run_that_is_paused_for_a_time_goes_on_after_it(made: Made) -> None:
    flow_id = made.client.create_flow(nothing)
    deployment = made.client.create_deployment(flow_id, f"deployment {uuid4()}", work_pool_name=made.pool)

    def paused(seconds: int) -> UUID:
        run = made.client.create_flow_run_from_deployment(deployment, tags=[made.tag], state=Running()).id
        over = datetime.now(UTC) + timedelta(seconds=seconds)
        made.client.set_flow_run_state(run, Suspended(pause_expiration_time=over), force=True)
        return run

    over, going, elsewhere = paused(-1), paused(300), made.client.create_flow_run(nothing, state=Running()).id
    (said,) = made.looked(1)
    assert f"({over}) goes on: the time for which it was paused is over" in said
    assert made.states(over, going, elsewhere) == ["SCHEDULED", "PAUSED", "RUNNING"]


def test_a_run_paused_by_a_plain_call_is_resumed_and_never_called_crashed(made: Made) -> None:
    flow_id = made.client.create_flow(nothing)
    deployment = made.client.create_deployment(flow_id, f"deployment {uuid4()}", work_pool_name=made.pool)

    def paused(taker: str) -> UUID:
        run = made.client.create_flow_run_from_deployment(deployment, tags=[made.tag], state=Running()).id
        made.client.update_flow_run_labels(run, {"prefect.worker.name": taker})
        made.client.set_flow_run_state(run, State(type=StateType.PAUSED, name="Paused", message="by hand"), force=True)
        return run

    gone, elsewhere = paused(this_machine()), paused("otzyv elsewhere 1000")
    made.beat(elsewhere, timedelta(seconds=1))
    (said,) = made.looked()
    assert f"({gone}) stays paused, and can be resumed: its process is gone" in said
    assert made.states(gone, elsewhere) == ["PAUSED", "PAUSED"]
    state = made.client.read_flow_run(gone).state
    assert state is not None
    assert (state.name, state.message) == ("Paused", "by hand")
    made.client.resume_flow_run(gone)
    assert made.looked(3) == []
    assert made.states(gone, elsewhere) == ["SCHEDULED", "PAUSED"]


@pytest.mark.parametrize("becomes", ["deleted", "ended"])
@pytest.mark.parametrize("deaf", [False, True])
def test_a_process_that_outlives_its_run_is_ended_and_no_other_one(made: Made, becomes: str, deaf: bool) -> None:
    kept, run = made.run(Running(), this_machine()), made.run(Running(), this_machine())
    script = f"{'trap : TERM; ' if deaf else ''}while :; do read -t 1 _; done"

    def begun(run: UUID) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", script, "-m", "prefect.engine"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PREFECT__FLOW_RUN_ID": str(run)},
        )

    with begun(kept) as other, begun(run) as process:
        try:
            if becomes == "deleted":
                made.client.delete_flow_run(run)
            else:
                made.client.set_flow_run_state(run, Completed(), force=True)
            assert not made.looked(3), "it may be about to end"
            said = list[str]()
            for minutes in (1, 2):
                made.watch.strays = {each: since - STRAY for each, since in made.watch.strays.items()}
                said += made.looked(1)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(2)
                if not deaf or minutes == 2:
                    assert process.poll() is not None
            assert [str(run) in line for line in said] == [True] * (1 + deaf)
            assert other.poll() is None
            assert made.states(kept) == ["RUNNING"]
        finally:
            for each in (other, process):
                each.kill()
