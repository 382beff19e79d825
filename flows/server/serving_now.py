"""What Prefect tells of a lake now: whether it is served, what runs, and when the next daily run begins."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from otzyv.flows.server import login
from otzyv.flows.server.asking import Questions, authorization
from otzyv.flows.server.health import Health
from otzyv.flows.server.lock import Lock
from otzyv.flows.server.pools import TAG, this_machine

OPEN = ("RUNNING", "PENDING", "CANCELLING", "PAUSED")
MOST_RUNS = 200
ENDED = "no worker is at work: the otzyv serve of this lake has just ended"
SECONDS = 5.0
"""How long an answer is waited for."""


@dataclass(frozen=True, slots=True)
class RunNow:
    """A run that has begun and not ended. ``within``: it is part of another one."""

    name: str
    state: str
    since: str | None
    run: str
    within: bool


@dataclass(frozen=True, slots=True)
class ServingNow:
    """``url``: of Prefect's API; ``unknown``: why nothing is known of it. ``served``: whether it knows the lake.

    ``wrong``, ``workers``, ``paused``, ``last_success``, ``next_run``: as ``/health`` tells them.
    """

    url: str | None
    unknown: str | None = None
    served: bool = False
    wrong: Sequence[str] = ()
    workers: Sequence[str] = ()
    paused: bool = False
    last_success: str | None = None
    next_run: str | None = None
    runs: Sequence[RunNow] = ()


def serving_now(lake: str) -> ServingNow:
    """Ask the server that PREFECT_API_URL names, else the one that an ``otzyv serve`` of this user runs.

    ``lake``: its whole address. No server is started.
    """
    url = os.environ.get("PREFECT_API_URL") or _here()
    if url is None:
        return ServingNow(None, "no otzyv serve of this user runs, and PREFECT_API_URL names no server")
    try:
        return asyncio.run(_asked(url.rstrip("/"), lake))
    except httpx.HTTPStatusError as error:
        cure = ": set PREFECT_API_AUTH_STRING to its login" if error.response.status_code == 401 else ""
        return ServingNow(url, f"it answers {error.response.status_code}{cure}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        return ServingNow(url, f"it does not answer as Prefect's server does ({type(error).__name__})")


def _here() -> str | None:
    """The address of the server that an ``otzyv serve`` of this user runs."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    path = home / "otzyv-serve.lock"
    if not path.is_file():
        return None
    try:
        lock = Lock(path)
    except OSError:
        return None
    try:
        return None if lock.take() or not lock.told.isdigit() else f"http://127.0.0.1:{lock.told}/api"
    finally:
        lock.close()


async def _asked(url: str, lake: str) -> ServingNow:
    said = authorization(os.environ.get(login.CLIENT) or login.of_server(url) or "")
    headers = {"authorization": said} if said else {}
    async with httpx.AsyncClient(base_url=f"{url}/", headers=headers, timeout=SECONDS) as client:
        asking = Questions(client).ask
        told = (await Health(asking, TAG).told())["lakes"].get(lake)
        wanted = {"tags": {"all_": [TAG]}, "state": {"type": {"any_": OPEN}}}
        found = await asking("flow_runs/filter", {"flow_runs": wanted, "sort": "START_TIME_DESC", "limit": MOST_RUNS})
    runs = tuple(_run(each) for each in found if (each.get("parameters") or {}).get("lake") == lake)
    if told is None:
        return ServingNow(url, runs=runs)
    found = ServingNow(url, served=True, runs=runs, **told)
    if found.workers and {*found.workers} == {this_machine()} and not _is_served_here(lake):
        return replace(found, workers=(), wrong=[*found.wrong, ENDED])
    return found


def _is_served_here(lake: str) -> bool:
    """Whether an ``otzyv serve`` of this machine works on a lake, which it has locked; True where nobody can tell.

    Workers count as at work for a minute and a half after their process was killed.
    """
    if "://" in lake:
        return True
    try:
        lock = Lock(Path(lake))
    except OSError:
        return True
    try:
        return not lock.take()
    except OSError:  # of a file system that knows no locks of folders
        return True
    finally:
        lock.close()


def _run(told: Mapping[str, Any]) -> RunNow:
    within = told["parent_task_run_id"] is not None
    return RunNow(told["name"], told["state_name"], told["start_time"], told["id"], within)
