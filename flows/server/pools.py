"""How work pools of ours are named, and what their runs' processes are told."""

from __future__ import annotations

import os
import socket

POOL = "otzyv-"
"""How the names of the work pools begin that ``otzyv serve`` makes for a lake."""
TAG = "otzyv"
"""On our deployments and runs, and on the runs within them: a server may have other people's as well."""
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""In a run's environment, in seconds."""
WORKER = "otzyv "
"""How the names of our workers begin."""


def this_machine() -> str:
    """The name of workers here: runs carry it, and only this user's processes on this machine can be looked at."""
    return f"{WORKER}{socket.gethostname()} {os.getuid()}"
