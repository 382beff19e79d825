"""Prefect's settings for runs from the command line, and its own in-process server."""

from __future__ import annotations

import os
import time

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
}


def configure(*, debug: bool = False) -> None:
    """Set what the environment leaves open; must come before Prefect is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if debug:
        os.environ["PREFECT_LOGGING_LEVEL"] = "DEBUG"


def start() -> float:
    """Start Prefect's in-process server unless PREFECT_API_URL points at one; returns the seconds it took."""
    from prefect.client.orchestration import get_client

    clock = time.perf_counter()
    with get_client(sync_client=True) as client:
        client.hello()
    return time.perf_counter() - clock
