"""``otzyv serve``: Prefect's server, the deployments and the workers that run them, from one command on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from otzyv.flows.server import login
from otzyv.flows.server.prefect_server import shown
from otzyv.flows.serving.server import ServerFailed, server
from otzyv.flows.settings import Settings
from otzyv.tasks.sources import NothingThereError, SourceError, check_reachable, files

if TYPE_CHECKING:
    from otzyv.flows.serving.alarm import Alarm
    from otzyv.flows.serving.watch import Watch

SCHEDULE_SECONDS = 90
LOOK_SECONDS = 10
ALARM_SECONDS = 60
DEPLOYMENTS_SECONDS = 30


def serve(
    lake: str,
    settings: Settings,
    port: int,
    say: Callable[[str], None],
    show: Callable[[str], None],
    *,
    check: bool = False,
    with_login: bool = True,
    reset: bool = False,
) -> None:
    """Serve until Ctrl-C (SIGINT) or SIGTERM; with ``check``, only until the scheduler has planned a daily run.

    Runs that are under way when it stops are cancelled; each leaves its days whole. Those that died with an earlier
    ``serve`` are ended first: they would keep their places for ever. ``reset``: what an operator has set in Prefect is
    set back to what the settings say. ``show``: like ``say``, for what no log is to keep. Raises ServerFailed.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from otzyv.flows.server.pools import TAG, this_machine
    from otzyv.flows.serving.alarm import Alarm
    from otzyv.flows.serving.deployments import deploy, remove_former
    from otzyv.flows.serving.lead import await_other_machines, leading, sign_off
    from otzyv.flows.serving.names import names
    from otzyv.flows.serving.watch import GONE, Watch

    ours = names(lake)
    # What this process was told at its start still holds for Prefect here; runs' processes are told by the environment.
    with (
        leading(lake, say, wait=not check),
        server(port, say, show, with_login=with_login) as (url, prefect),
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: os.environ.get(login.CLIENT)}),
    ):
        _check_source(settings, say, must=check)
        say(f"Prefect: {shown(url).removesuffix('/api')}")
        say(f"commands beside it need no server of their own: PREFECT_API_URL={shown(url)}")
        _check_login(url)
        await_other_machines(lake, this_machine(), say, wait=not check)
        if prefect:
            for name in remove_former(lake):
                say(f"deployment {name} of an earlier version is removed")
        deployed = deploy(lake, settings, reset=reset)
        for name in deployed.ids:
            say(f"deployment {name}")
        for line in deployed.differ:
            say(f"{line}: that of Prefect stays; --reset takes the settings'")
        if deployed.scheduled:
            _await_schedule(deployed.daily, say)
        else:
            say("daily runs are switched off in Prefect: none is planned")
        if not check:
            watch = Watch(ours.pools, TAG)
            for line in watch.end_all(GONE):
                say(line)
            say("serving; Ctrl-C stops")
            with suppress(KeyboardInterrupt, asyncio.CancelledError):
                alarm = Alarm(lake, deployed.ids, say)
                beside = [
                    _look(watch, say),
                    _look_for_deployments(lake, settings, deployed.ids, alarm, say),
                    _alarm(alarm),
                ]
                if prefect:
                    beside.append(prefect.keep(say))
                try:
                    asyncio.run(_work(lake, settings.slots, *beside))
                except ServerFailed as error:
                    alarm.server_gone(str(error))
                    raise
            with suppress(httpx.HTTPError):  # of a server that has gone as well
                for line in watch.end_all("otzyv serve was stopped", cancelled=True):
                    say(line)
                sign_off(lake, this_machine())
            say("stopped")


def _check_source(settings: Settings, say: Callable[[str], None], *, must: bool) -> None:
    """Say how the source is found: a wrong one looks as if no reviews came. ``must``: raises what is wrong with it.

    It may come back (a folder that is mounted later), so that it keeps nobody from serving.
    """
    if settings.source is None:
        say("source: none is set (setting source), so that daily runs bring nothing in")
        return
    try:
        check_reachable(settings.source)
        count = len(files(settings.source))
        say(f"source {settings.source}: {count:,} file{'s' if count != 1 else ''}")
    except NothingThereError as error:
        say(f"source: nothing has come yet: {error}")
    except SourceError as error:
        if must:
            raise
        say(f"source: {error}")


def _check_login(url: str) -> None:
    """Raises ServerFailed where the server asks for another login."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pools(limit=1)
        except httpx.HTTPStatusError as error:
            raise ServerFailed(
                f"the server at {shown(url)} refuses this login ({error.response.status_code}): set {login.CLIENT} to "
                f"the one that it asks for, or {login.SERVER} if another otzyv serve runs it with one"
            ) from error


async def _look(watch: Watch, say: Callable[[str], None]) -> None:
    """End runs that have lost their process, for as long as runs are worked on."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with suppress(httpx.HTTPError):  # while the server is started again
            for line in await asyncio.to_thread(list, watch.look()):
                say(line)


def _await_schedule(deployment: str, say: Callable[[str], None]) -> None:
    """Wait for the scheduler's heartbeat: the next daily run is planned. Some mixes of versions never plan one."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        for _ in range(SCHEDULE_SECONDS):
            planned = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[UUID(deployment)])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
                ),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=1,
            )
            if planned:
                say(f"next daily run: {planned[0].expected_start_time:%Y-%m-%d %H:%M %Z}")
                return
            time.sleep(1)
    raise ServerFailed(
        f"Prefect's scheduler planned no run within {SCHEDULE_SECONDS} s; are the versions those of requirements.lock?"
    )


async def _alarm(alarm: Alarm) -> None:
    """Tell a person of what is wrong, for as long as runs are worked on."""
    while True:
        await asyncio.to_thread(alarm.look)
        await asyncio.sleep(ALARM_SECONDS)


async def _look_for_deployments(
    lake: str, settings: Settings, ids: Mapping[str, str], alarm: Alarm, say: Callable[[str], None]
) -> None:
    """Make deployments again that were deleted: no daily run would be planned any more, and nobody would be told."""
    from otzyv.flows.serving.deployments import deploy, missing

    while True:
        await asyncio.sleep(DEPLOYMENTS_SECONDS)
        with suppress(httpx.HTTPError):  # while the server is started again
            if gone := await asyncio.to_thread(missing, lake, ids):
                former, ids = ids, (await asyncio.to_thread(deploy, lake, settings)).ids
                for name in gone:
                    say(f"deployment {name} was deleted and is made again: to stop its runs, pause it")
                await asyncio.to_thread(alarm.deployments_gone, {name: former[name] for name in gone}, ids)


async def _work(lake: str, slots: int, *beside: Coroutine[Any, Any, None]) -> None:
    from otzyv.flows.server.pools import this_machine
    from otzyv.flows.serving.names import names
    from otzyv.flows.serving.worker import Worker

    # Runs are to run this very code, whatever lies in the folder that they start in.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["OTZYV_LAKE"] = lake  # which is the one that they may name, beside those of the setting allowed_lakes
    here = this_machine()
    ours = names(lake)
    workers = [Worker(ours.days, name=here, limit=slots), Worker(ours.parents, name=here)]
    working = [asyncio.ensure_future(each) for each in (*(one.start(printer=_quiet) for one in workers), *beside)]
    running = asyncio.gather(*working)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, running.cancel)
    try:
        await running
    finally:  # which is when the first has ended: the others still talk with their runs' processes
        for each in working:
            each.cancel()
        await asyncio.wait(working)


def _quiet(*_: object) -> None:
    """Workers print a line each when they start and stop; ``serve`` says so itself."""
