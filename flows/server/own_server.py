"""The server that Prefect starts for a command without one: behind our guard, with a login that nobody else is told.

Read in Prefect 3.8.8: ``get_client`` (prefect/client/orchestration) calls ``SubprocessASGIServer()`` of
prefect/server/api/server.py, which gives the instance made first, and that asks itself for a port and for a process.
"""

from __future__ import annotations

import atexit
import os
import socket

from prefect.context import refresh_global_settings_context
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

from otzyv.flows.server import guard, login
from otzyv.flows.server.process import NoServer, ServerProcess, why_no_answer


class OwnServer(SubprocessASGIServer):
    """Answers on a port that this process holds from before the server starts until it ends."""

    _bound: socket.socket | None = None

    def find_available_port(self) -> int:
        self._bound = socket.socket()  # it listens once the server is there: until then Prefect's client is refused
        self._bound.bind(("127.0.0.1", 0))
        port: int = self._bound.getsockname()[1]
        return port

    def start(self, timeout: int | None = None) -> None:
        """Raises NoServer, as soon as it has ended: Prefect's own would wait for it until its time is over."""
        if self.running:
            return
        self.port = self.find_available_port()
        self.running = True
        self.server_process = process = self._run_uvicorn_command()
        atexit.register(self.stop)
        seconds = timeout or get_current_settings().server.ephemeral.startup_timeout_seconds
        if why := why_no_answer(self.api_url, seconds, process):
            self.running = False
            raise NoServer(why)

    def _run_uvicorn_command(self) -> ServerProcess:
        assert self._bound is not None
        assert self.port is not None
        told = get_current_settings().to_environment_variables(exclude_unset=True)
        return guard.spawn(
            self._bound,
            {
                **os.environ,
                **told,
                guard.ORIGINS: ",".join(guard.origins(self.port)),
                "PREFECT_UI_ENABLED": "0",
                "PREFECT__SERVER_EPHEMERAL": "1",
                "PREFECT__SERVER_FINAL": "1",
            },
        )


def prepare() -> None:
    """Let Prefect's clients of this process start this server, with a login of its own, when they first need one."""
    secret = os.environ.setdefault(login.SERVER, login.fresh())
    os.environ[login.CLIENT] = secret
    refresh_global_settings_context()
    OwnServer()
