"""Runs whose process is gone are ended, so that their places are free again and the pages tell the truth.

On this machine the processes themselves are looked at: a run that starts slowly, or whose heartbeats do not get
through, is alive. Of a run that a worker elsewhere has taken only its heartbeats tell.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Running, Scheduled

from otzyv.flows.paused import let_resume, stuck
from otzyv.flows.server.pools import this_machine
from otzyv.tasks.dead_runs import begins_again, last_heartbeat, parent_of
from otzyv.tasks.every_run import every_run

SILENT = timedelta(seconds=90)
"""A run elsewhere whose heartbeats stop for so long has lost its process."""
UNBORN = timedelta(minutes=15)
"""A run that a worker has taken and that has sent no heartbeat since has no process after so long."""
OPEN = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
GONE, QUIET, UNHEARD = "its process is gone", "no heartbeat, so its process is gone", "it never began"
AGAIN = "it reports again"
STRAY = timedelta(minutes=1)
"""How long a process may outlive its run before it is asked to end, and how long until it is made to."""


def processes() -> dict[UUID, int]:
    """The runs that have a process of this user's on this machine, and its id."""
    found: dict[UUID, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it has ended, or is another user's
            if b"prefect.engine" not in (process / "cmdline").read_bytes().split(b"\0"):
                continue  # what a run has started has its environment, and may outlive it for a moment
            for entry in (process / "environ").read_bytes().split(b"\0"):
                name, _, value = entry.partition(b"=")
                if name == b"PREFECT__FLOW_RUN_ID":
                    found[UUID(value.decode())] = int(process.name)
    return found


class Watch:
    """Looks after our runs, again and again: also those of a ``serve`` that has died beside the same Prefect."""

    def __init__(self, pools: Collection[str], tag: str) -> None:
        """``pools``: those that are served here. ``tag``: what all our runs carry, and the runs within them."""
        self.pools, self.tag, self.here = frozenset(pools), tag, this_machine()
        self.suspects: frozenset[UUID] = frozenset()
        self.strays: dict[UUID, datetime] = {}
        """Runs that are no more, though a process of theirs is: since when that is known."""
        self.since: datetime | None = None
        """From when on the server has answered: before that, heartbeats may have been lost."""

    def look(self) -> Iterator[str]:
        """End runs that have lost their process, and say which; called every few seconds.

        A run of this machine is ended when two looks in a row find no process: a worker may be about to tell how it
        ended.
        """
        try:
            with get_client(sync_client=True) as client:
                now = datetime.now(UTC)
                self.since = self.since or now
                dead = self._dead(client, now)
                again = {run: why for run, why in dead.items() if run in self.suspects}
                self.suspects = frozenset(dead)
                yield from self._end(client, again)
                yield from self._revive(client, now)
                yield from self._resume(client, now)
                yield from self._end_strays(client, now)
        except BaseException:
            self.since = None
            raise

    def end_all(self, why: str, *, cancelled: bool = False) -> Iterator[str]:
        """End the runs of the pools that have no process here, where no worker takes any: at the start and the end."""
        with get_client(sync_client=True) as client:
            dead = self._dead(client, datetime.now(UTC), idle=True)
            yield from self._end(client, dict.fromkeys(dead, why), cancelled=cancelled)

    def _dead(self, client: SyncPrefectClient, now: datetime, *, idle: bool = False) -> dict[UUID, str]:
        """Runs without a process, and why. ``idle``: no worker here takes runs, so that none is about to get one."""
        runs = [run for run in self._runs(client, (*OPEN, StateType.PAUSED)) if not _is_paused(run) or stuck(run)]
        if idle:
            runs = [run for run in runs if _within(run) or run.work_pool_name in self.pools]
        alive = processes()  # after the runs were read: one that is running had its process before
        verdicts = {run.id: self._verdict(client, run, alive, now, idle=idle) for run in runs if not _within(run)}
        for run in filter(_within, runs):
            verdicts[run.id] = self._verdict_within(client, run, verdicts, now)
        return {run: why for run, why in verdicts.items() if why}

    def _runs(
        self, client: SyncPrefectClient, states: Collection[StateType], ended: FlowRunFilterEndTime | None = None
    ) -> list[FlowRun]:
        wanted = FlowRunFilter(
            tags=FlowRunFilterTags(all_=[self.tag]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))),
            end_time=ended,
        )
        return [run for run in every_run(client, wanted) if _within(run) or run.work_pool_name]

    def _verdict(
        self, client: SyncPrefectClient, run: FlowRun, alive: Collection[UUID], now: datetime, *, idle: bool
    ) -> str | None:
        if run.id in alive:
            return None
        taker = run.labels.get("prefect.worker.name")
        begun = run.state is not None and run.state.type != StateType.PENDING
        if taker == self.here and (begun or idle):
            return GONE
        if taker is None and idle:
            return "it had not begun"
        taken, beat = run.state.timestamp if run.state else now, last_heartbeat(client, run.id, now)
        if beat and (beat > taken or not begins_again(run) or _revived(run)):
            return QUIET if now - max(beat, self.since or now) > SILENT else None
        return UNHEARD if now - max(taken, self.since or now) > UNBORN else None

    def _verdict_within(
        self, client: SyncPrefectClient, run: FlowRun, verdicts: dict[UUID, str | None], now: datetime
    ) -> str | None:
        """A run within another lives in its process."""
        whole = run
        while _within(whole):
            parent = parent_of(client, whole)
            if parent is None:
                return None
            whole = parent
        if whole.id in verdicts:
            return verdicts[whole.id]
        over = whole.work_pool_name and whole.state and whole.state.is_final()
        return "the run that it is part of has ended" if over else None

    def _end(self, client: SyncPrefectClient, dead: dict[UUID, str], *, cancelled: bool = False) -> Iterator[str]:
        for run_id, why in dead.items():
            with suppress(ObjectNotFound):
                run = client.read_flow_run(run_id)
                if stuck(run):
                    let_resume(client, run)
                    yield f"run {run.name} ({run_id}) stays paused, and can be resumed: {why}"
                if run.state is None or run.state.type not in OPEN:
                    continue  # meanwhile it has told how it ended
                stopped = cancelled or run.state.is_cancelling()
                state: State[object] = Cancelled(message=why) if stopped else Crashed(message=why)
                client.set_flow_run_state(run_id, state, force=True)
                yield f"run {run.name} ({run_id}) is marked as {state.name}: {why}"

    def _end_strays(self, client: SyncPrefectClient, now: datetime) -> Iterator[str]:
        """End processes of runs that were deleted or have ended: they may wait for ever, and hold a place of a pool.

        Only those that were started here: a worker waits for their end.
        """
        started = {run: process for run, process in processes().items() if _parent(process) == os.getpid()}
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(started)))
        going = (
            {run.id for run in every_run(client, wanted) if run.state and not run.state.is_final()}
            if started
            else set()
        )
        self.strays = {run: self.strays.get(run, now) for run in started if run not in going}
        for run, since in self.strays.items():
            if now - since > STRAY:
                made_to = now - since > 2 * STRAY
                with suppress(ProcessLookupError):
                    os.killpg(started[run], signal.SIGKILL if made_to else signal.SIGTERM)
                    how = "made to end" if made_to else "asked to end"
                    yield f"the process of run {run} is {how}: the run was deleted, or ended without it"

    def _revive(self, client: SyncPrefectClient, now: datetime) -> Iterator[str]:
        """A run that was given up for its silence and reports again is not dead."""
        lately = FlowRunFilterEndTime(after_=now - timedelta(days=1))
        for run in self._runs(client, [StateType.CRASHED], lately):
            if run.state is None or run.state.message not in (QUIET, UNHEARD):
                continue
            beat = last_heartbeat(client, run.id, now)
            if beat and beat > run.state.timestamp:
                client.set_flow_run_state(run.id, Running(message=AGAIN), force=True)
                yield f"run {run.name} ({run.id}) reports again"

    def _resume(self, client: SyncPrefectClient, now: datetime) -> Iterator[str]:
        """A run that was paused for a time goes on after it, as Prefect's page says where it is paused."""
        for run in self._runs(client, [StateType.PAUSED]):
            until = run.state.state_details.pause_timeout if run.state else None
            if until and until < now and run.deployment_id and run.state and run.state.state_details.pause_reschedule:
                client.set_flow_run_state(run.id, Scheduled(name="Resuming"), force=True)
                yield f"run {run.name} ({run.id}) goes on: the time for which it was paused is over"


def _parent(process: int) -> int | None:
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:  # it has ended
        return None
    return int(told.rpartition(")")[2].split()[1])


def _revived(run: FlowRun) -> bool:
    return run.state is not None and run.state.message == AGAIN


def _is_paused(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_paused()


def _within(run: FlowRun) -> bool:
    """Whether it runs in the process of the run that it is part of."""
    return run.deployment_id is None and run.parent_task_run_id is not None
