"""``otzyv serve``: Prefect's server, the deployments and the workers that run them, from one command on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from otzyv.flows.server import guard, login
from otzyv.flows.server.lock import Lock
from otzyv.flows.server.prefect_server import shown
from otzyv.flows.settings import Settings
from otzyv.schemas.errors import EnvironmentFault
from otzyv.tasks.sources import NothingThereError, SourceError, check_reachable, files

if TYPE_CHECKING:
    from otzyv.flows.serving.watch import Watch

NO_LOGIN = (
    "no login: everyone with an account on this machine may start, change and stop runs, and see what they were given"
)
START_SECONDS = 120
FREE_SECONDS = 5
SCHEDULE_SECONDS = 90
LOOK_SECONDS = 10
DEPLOYMENTS_SECONDS = 30


class ServerFailed(EnvironmentFault):
    """Prefect's server did not start."""


class Server:
    """Prefect's server on loopback, behind the guard: one for all ``serve`` of a user.

    The first runs it as a process of its own. When that ``serve`` ends, another one takes it over on the same port. Its
    database lies in Prefect's home folder, so that schedules and runs outlive it.
    """

    def __init__(self, port: int) -> None:
        """Take the port, or find that of the ``serve`` that runs the server. Raises ServerFailed where it is taken."""
        from prefect.settings import get_current_settings

        home = get_current_settings().home
        try:
            self.lock = Lock(home / "otzyv-serve.lock")
        except OSError as error:
            raise ServerFailed(
                f"Prefect can't keep its database in {home} ({error.strerror}): set PREFECT_HOME elsewhere"
            ) from error
        self.listening: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.port = port
        try:
            self.ours = self.lock.take(str(port))
            if self.ours:
                self._listen()
            else:
                self.port = self._port_there()
        except BaseException:
            self.lock.close()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def _port_there(self) -> int:
        for _ in range(40):
            if told := self.lock.told:
                return int(told)
            time.sleep(0.05)  # the other one is about to tell it
        raise ServerFailed("another otzyv serve holds Prefect's database and does not tell its port: try again")

    def _listen(self) -> None:
        for _ in range(FREE_SECONDS * 4):
            try:
                self.listening = guard.listen(self.port)
                return
            except OSError as error:
                failed = error
                time.sleep(0.25)  # the server of one that was killed may be about to end
        raise ServerFailed(
            f"port {self.port} can't be used ({failed.strerror}); give another with --port, or set PREFECT_API_URL to "
            f"{self.url} if a server of Prefect's is there"
        ) from failed

    def start(self) -> None:
        """Start it, unless another ``serve`` has, and wait until it answers. Raises ServerFailed."""
        if self.ours:
            self._spawn()
        try:
            with httpx.Client(timeout=2) as client:
                for _ in range(START_SECONDS * 4):
                    if self.process and self.process.poll() is not None:
                        raise ServerFailed(f"Prefect's server ended at once (exit status {self.process.returncode})")
                    if _answers(client, self.url):
                        return
                    time.sleep(0.25)
            raise ServerFailed(f"Prefect's server did not answer at {self.url} within {START_SECONDS} s")
        except BaseException:
            self.stop()
            raise

    def _spawn(self) -> None:
        given = [one for one in os.environ.get(guard.ORIGINS, "").split(",") if one]
        environment = {
            **os.environ,
            # Both are told: given the port alone, the UI would call 4200.
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            guard.ORIGINS: ",".join([*guard.origins(self.port), *given]),
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        }
        assert self.listening is not None
        self.process = guard.spawn(self.listening, environment)

    def stop(self) -> None:
        """End it, if it is ours."""
        if self.listening:
            self.listening.close()  # first: who asks while it ends is refused, and does not wait for an answer
        if self.process:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.lock.close()

    async def keep(self, say: Callable[[str], None]) -> None:
        """Start it again whenever it ends: runs wait for it for a minute, and nothing else would be done without it."""
        while True:
            await asyncio.sleep(1)
            if not self.ours and self.lock.take(str(self.port)):
                say("the otzyv serve that ran Prefect's server has ended; this one runs it now")
                self.ours = True
                await asyncio.to_thread(self._listen)
                await asyncio.to_thread(self.start)
            elif self.process and self.process.poll() is not None:
                say(f"Prefect's server ended (exit status {self.process.returncode}); it is started again")
                await asyncio.to_thread(self.start)


@contextmanager
def server(
    port: int, say: Callable[[str], None], show: Callable[[str], None], *, with_login: bool
) -> Iterator[tuple[str, Server | None]]:
    """The address of Prefect's API: of the server PREFECT_API_URL points at, else of one that ``serve`` runs.

    ``show``: for a new login, which no log is to keep.
    """
    if known := os.environ.get("PREFECT_API_URL"):
        yield known, None
        return
    if "*" in (foreign := os.environ.get(guard.ORIGINS, "")):
        raise ServerFailed(f"{guard.ORIGINS}={foreign} would let any web page in: name origins, as https://host")
    ours = Server(port)
    try:
        if not ours.ours:
            say(f"another otzyv serve of this user runs Prefect's server, at port {ours.port}: it is used here as well")
        _set_login(ours.port, say, show, with_login=with_login)
    except BaseException:
        ours.stop()
        raise
    ours.start()
    os.environ["PREFECT_API_URL"] = ours.url
    try:
        yield ours.url, ours
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        ours.stop()


def _set_login(port: int, say: Callable[[str], None], show: Callable[[str], None], *, with_login: bool) -> None:
    """Into the environment, for the server, the workers and the runs: no other user can read it there."""
    given = os.environ.get(login.SERVER)
    if not with_login:
        if given:
            raise ServerFailed(f"--no-login, but {login.SERVER} asks for one: leave one of them out")
        os.environ.pop(login.CLIENT, None)
        say(NO_LOGIN)
        return
    if given:
        say(f"login: that of {login.SERVER}")
        secret = given
    else:
        try:
            secret, new = login.of_port(port)
        except (OSError, RuntimeError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise ServerFailed(
                f"the login can't be kept in {login.path(port)} ({said}): set {login.SERVER}=user:password"
            ) from error
        kept = f"kept in {login.path(port)}"
        if new:
            show(f"login: {secret} (shown this once; {kept})")
        else:
            say(f"login: {kept}")
    os.environ[login.SERVER] = os.environ[login.CLIENT] = secret


def _answers(client: httpx.Client, url: str) -> bool:
    with suppress(httpx.HTTPError):
        return client.get(f"{url}/health").status_code == 200
    return False


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

    from otzyv.flows.server.pools import TAG
    from otzyv.flows.serving.deployments import deploy, remove_former
    from otzyv.flows.serving.lead import await_other_machines, leading
    from otzyv.flows.serving.names import names
    from otzyv.flows.serving.watch import GONE, Watch, this_machine

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
                beside = [_look(watch, say), _look_for_deployments(lake, settings, deployed.ids, say)]
                if prefect:
                    beside.append(prefect.keep(say))
                asyncio.run(_work(lake, settings.slots, *beside))
            with suppress(httpx.HTTPError):  # of a server that has gone as well
                for line in watch.end_all("otzyv serve was stopped", cancelled=True):
                    say(line)
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
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        for _ in range(SCHEDULE_SECONDS):
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[UUID(deployment)])),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            )
            planned = [run for run in runs if run.state is not None and run.state.type == StateType.SCHEDULED]
            if planned:
                say(f"next daily run: {planned[0].expected_start_time:%Y-%m-%d %H:%M %Z}")
                return
            time.sleep(1)
    raise ServerFailed(
        f"Prefect's scheduler planned no run within {SCHEDULE_SECONDS} s; are the versions those of requirements.lock?"
    )


async def _look_for_deployments(
    lake: str, settings: Settings, ids: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Make deployments again that were deleted: no daily run would be planned any more, and nobody would be told."""
    from otzyv.flows.serving.deployments import deploy, missing

    while True:
        await asyncio.sleep(DEPLOYMENTS_SECONDS)
        with suppress(httpx.HTTPError):  # while the server is started again
            if gone := await asyncio.to_thread(missing, lake, ids):
                ids = (await asyncio.to_thread(deploy, lake, settings)).ids
                for name in gone:
                    say(f"deployment {name} was deleted and is made again: to stop its runs, pause it")


async def _work(lake: str, slots: int, *beside: Coroutine[Any, Any, None]) -> None:
    from otzyv.flows.serving.names import names
    from otzyv.flows.serving.watch import this_machine
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
