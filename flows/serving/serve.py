"""``otzyv serve``: Prefect's server, the deployments and the workers that run them, from one command on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from otzyv.flows.server import guard, login
from otzyv.flows.server.prefect_server import shown
from otzyv.flows.settings import Settings
from otzyv.schemas.errors import EnvironmentFault

if TYPE_CHECKING:
    from otzyv.flows.serving.watch import Watch

NO_LOGIN = (
    "no login: everyone with an account on this machine may start, change and stop runs, and see what they were given"
)
START_SECONDS = 120
SCHEDULE_SECONDS = 90
LOOK_SECONDS = 10


class ServerFailed(EnvironmentFault):
    """Prefect's server did not start."""


class Server:
    """Prefect's server as a process of ours, on loopback, behind the guard.

    Its database lies in Prefect's home folder, so that schedules and runs outlive it.
    """

    def __init__(self, port: int) -> None:
        """Take the port. Raises ServerFailed where it is taken."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}/api"
        try:
            self.listening = guard.listen(port)
        except OSError as error:
            raise ServerFailed(
                f"port {port} can't be used ({error.strerror}); give another with --port, or set PREFECT_API_URL to "
                f"{self.url} if a server of Prefect's is there"
            ) from error

    def start(self) -> None:
        """Start it and wait until it answers. Raises ServerFailed."""
        given = [one for one in os.environ.get(guard.ORIGINS, "").split(",") if one]
        environment = {
            **os.environ,
            # Both are told: given the port alone, the UI would call 4200.
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            guard.ORIGINS: ",".join([*guard.origins(self.port), *given]),
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        }
        self.process = guard.spawn(self.listening, environment)
        try:
            with httpx.Client(timeout=2) as client:
                for _ in range(START_SECONDS * 4):
                    if self.process.poll() is not None:
                        raise ServerFailed(f"Prefect's server ended at once (exit status {self.process.returncode})")
                    if _answers(client, self.url):
                        return
                    time.sleep(0.25)
            raise ServerFailed(f"Prefect's server did not answer at {self.url} within {START_SECONDS} s")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def keep(self, say: Callable[[str], None]) -> None:
        """Start it again whenever it ends: runs wait for it for a minute, and nothing else would be done without it."""
        while True:
            await asyncio.sleep(1)
            if self.process.poll() is not None:
                say(f"Prefect's server ended (exit status {self.process.returncode}); it is started again")
                await asyncio.to_thread(self.start)


@contextmanager
def server(port: int, say: Callable[[str], None], *, with_login: bool) -> Iterator[tuple[str, Server | None]]:
    """The address of Prefect's API: of the server PREFECT_API_URL points at, else of one started here."""
    if known := os.environ.get("PREFECT_API_URL"):
        yield known, None
        return
    if "*" in (foreign := os.environ.get(guard.ORIGINS, "")):
        raise ServerFailed(f"{guard.ORIGINS}={foreign} would let any web page in: name origins, as https://host")
    ours = Server(port)
    with closing(ours.listening):
        _set_login(port, say, with_login=with_login)
        ours.start()
        os.environ["PREFECT_API_URL"] = ours.url
        try:
            yield ours.url, ours
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            ours.listening.close()  # first: who asks while the server ends is refused, and does not wait for an answer
            ours.stop()


def _set_login(port: int, say: Callable[[str], None], *, with_login: bool) -> None:
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
        say(f"login: {secret} (shown this once; {kept})" if new else f"login: {kept}")
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
    *,
    check: bool = False,
    with_login: bool = True,
) -> None:
    """Serve until Ctrl-C (SIGINT) or SIGTERM; with ``check``, only until the scheduler has planned a daily run.

    Runs that are under way when it stops are cancelled; each leaves its days whole. Those that died with an earlier
    ``serve`` are ended first: they would keep their places for ever. Raises ServerFailed.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from otzyv.flows.server.pools import DAYS, PARENTS
    from otzyv.flows.serving.deployments import TAG, deploy
    from otzyv.flows.serving.watch import GONE, Watch

    # What this process was told at its start still holds for Prefect here; runs' processes are told by the environment.
    with (
        server(port, say, with_login=with_login) as (url, ours),
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: os.environ.get(login.CLIENT)}),
    ):
        say(f"Prefect: {shown(url).removesuffix('/api')}")
        say(f"commands beside it need no server of their own: PREFECT_API_URL={shown(url)}")
        deployments = deploy(lake, settings)
        for name in deployments:
            say(f"deployment {name}")
        _await_schedule(deployments["daily/features"], say)
        if not check:
            watch = Watch([DAYS, PARENTS], TAG)
            for line in watch.end_all(GONE):
                say(line)
            say("serving; Ctrl-C stops")
            with suppress(KeyboardInterrupt, asyncio.CancelledError):
                asyncio.run(_work(lake, settings.slots, _look(watch, say), *([ours.keep(say)] if ours else [])))
            with suppress(httpx.HTTPError):  # of a server that has gone as well
                for line in watch.end_all("otzyv serve was stopped", cancelled=True):
                    say(line)
            say("stopped")


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


async def _work(lake: str, slots: int, *beside: Coroutine[Any, Any, None]) -> None:
    from otzyv.flows.server.pools import DAYS, PARENTS
    from otzyv.flows.serving.watch import this_machine
    from otzyv.flows.serving.worker import Worker

    # Runs are to run this very code, whatever lies in the folder that they start in.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["OTZYV_LAKE"] = lake  # which is the one that they may name, beside those of the setting allowed_lakes
    here = this_machine()
    workers = [Worker(DAYS, name=here, limit=slots), Worker(PARENTS, name=here)]
    working = [asyncio.ensure_future(each) for each in (*(one.start(printer=_quiet) for one in workers), *beside)]
    running = asyncio.gather(*working)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    finally:  # which is when the first has ended: the others still talk with their runs' processes
        for each in working:
            each.cancel()
        await asyncio.wait(working)


def _quiet(*_: object) -> None:
    """Workers print a line each when they start and stop; ``serve`` says so itself."""
