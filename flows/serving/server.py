"""Prefect's server as ``otzyv serve`` runs it: on loopback, behind the guard, with a login, one for all of a user."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from otzyv.flows.server import guard, login
from otzyv.flows.server.backfills import PAGES
from otzyv.flows.server.lock import Lock
from otzyv.flows.server.process import ServerProcess, why_no_answer
from otzyv.schemas.errors import EnvironmentFault

NO_LOGIN = (
    "no login: everyone with an account on this machine may start, change and stop runs, and see what they were given"
)
START_SECONDS = 120
FREE_SECONDS = 5


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
        self.process: ServerProcess | None = None
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
            if why := why_no_answer(self.url, START_SECONDS, self.process):
                raise ServerFailed(why)
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
            # Prefect's page says that a run goes on after the time for which it is paused, its server fails it then.
            "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
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
                say(f"Prefect's server ended ({self.process.ended}); it is started again")
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
    os.environ |= {"PREFECT_API_URL": ours.url, PAGES: "1"}
    try:
        yield ours.url, ours
    finally:
        for name in ("PREFECT_API_URL", PAGES):
            os.environ.pop(name, None)
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
