"""Prefect's settings for runs from the command line, and its own in-process server."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty

from otzyv.flows.server import login
from otzyv.flows.server.process import NoServer

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",  # it is stopped while it still writes events, and would tell
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # events that can't be sent are told whole
    # One write a second instead of one for each state of a task: SQLite refuses a run that is begun between two writes,
    # and Prefect's client then waits for two seconds.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "1000",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the quality page's task stands in no flow
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
}


def configure(*, debug: bool = False, serving: bool = False) -> None:
    """Set what the environment leaves open; must come before Prefect is imported.

    ``serving``: runs are looked at in Prefect's pages, so what they log is kept there.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    login.find()
    if serving:
        os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "3")  # the server is near: a run need not wait for 10
        if os.environ["PREFECT_LOGGING_LEVEL"] == DEFAULTS["PREFECT_LOGGING_LEVEL"]:
            os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
    warnings.filterwarnings("ignore", "Failed to create the Prefect home", UserWarning)  # told where it matters
    if debug:
        os.environ["PREFECT_LOGGING_LEVEL"] = "DEBUG"
    else:
        logging.getLogger("EventsWorker").setLevel(logging.ERROR)  # "Still processing items", whenever a run ends


def start() -> float:
    """Start Prefect's in-process server unless PREFECT_API_URL points at one; returns the seconds it took.

    Raises NoServer where that one does not answer, or refuses, and where its own has no place for its database.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    clock = time.perf_counter()
    if not PREFECT_API_URL.value():  # nor does one of Prefect's profiles name a server
        from otzyv.flows.server import own_server

        _check_home()
        own_server.prepare()
    with get_client(sync_client=True) as client:
        try:
            client.hello().raise_for_status()
        except httpx.HTTPError as error:
            said = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
            cure = "set PREFECT_API_AUTH_STRING to its login" if said == 401 else "start it, or unset PREFECT_API_URL"
            raise NoServer(f"no Prefect server to be had at {shown(str(client.api_url))} ({said}): {cure}") from error
    return time.perf_counter() - clock


def shown(url: str) -> str:
    """A server's address without the user and the password that it may hold."""
    scheme, _, rest = url.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _check_home() -> None:
    """Raises NoServer where the server would try in vain, for minutes, to write its database."""
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    database = settings.server.database.connection_url
    if database is None or str(settings.home) not in database.get_secret_value():
        return
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise NoServer(
            f"Prefect can't keep its database in {settings.home} ({error.strerror}): set PREFECT_HOME elsewhere"
        ) from error


def named(error: Exception) -> Exception:
    """An error of a run; NoServer where the server that PREFECT_API_URL names no longer answers."""
    import httpx

    url = os.environ.get("PREFECT_API_URL")
    if not url or not isinstance(error, httpx.TransportError) or not str(error.request.url).startswith(url):
        return error
    drop_events()
    return NoServer(
        f"Prefect's server at {shown(url)} no longer answers ({type(error).__name__}): what was made stands, and the "
        "same command makes what is left; start the server, or unset PREFECT_API_URL"
    )


def drop_events() -> None:
    """Each event that waits for a server which is gone would hold up the end of this process for ten seconds."""
    from prefect.events.worker import EventsWorker

    for worker in EventsWorker._instances.values():  # type: ignore[misc]
        with suppress(Empty):
            while True:
                worker._queue.get_nowait()


class OnDemand:
    """A server that is started when it is first needed: a run that finds nothing to do starts none."""

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        self.seconds: float | None = None
        """What starting it took; None if it was not needed."""

    def need(self) -> None:
        """Start the server unless it was needed before. Raises NoServer."""
        if self.seconds is None:
            self.seconds = start()
            self._until.enter_context(without_heartbeats())


@contextmanager
def on_demand() -> Iterator[OnDemand]:
    with ExitStack() as until:
        yield OnDemand(until)


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Flows that end at once: Prefect waits for the thread of heartbeats, up to a second for each flow.

    Heartbeats let a server tell that a run's process died. The in-process server dies with it, so it needs none.
    """
    from prefect.context import SettingsContext, get_settings_context

    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    # As Prefect's temporary_settings does, which takes a tenth of a second to read and check all of them again.
    known = get_settings_context()
    flows = known.settings.flows.model_copy(update={"heartbeat_frequency": None})
    with SettingsContext(profile=known.profile, settings=known.settings.model_copy(update={"flows": flows})):
        yield
