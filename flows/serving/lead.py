"""Of several ``otzyv serve`` of one lake one leads; the others wait until it ends, and then go on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound

from otzyv.flows.server import kept
from otzyv.flows.server.lock import Lock
from otzyv.flows.server.pools import WORKER
from otzyv.flows.serving.names import names
from otzyv.schemas.errors import EnvironmentFault
from otzyv.tasks.lake.delta.storage import Storage


class Served(EnvironmentFault):
    """The lake is served already, and one was not to wait for that to end."""


@contextmanager
def leading(lake: str, say: Callable[[str], None], *, wait: bool) -> Iterator[None]:
    """Be the one that serves the lake on this machine, once nobody else does. Raises Served if not to wait for that."""
    lock = _lock(lake)
    try:
        if not lock.take():
            if not wait:
                raise Served(f"another otzyv serve works on {lake}; what would be tried here may be seen there")
            say(f"another otzyv serve works on {lake}: this one waits until it ends; Ctrl-C stops")
            while not lock.take():
                time.sleep(1)
            say("the other otzyv serve has ended: this one goes on")
        yield
    finally:
        lock.close()


def _lock(lake: str) -> Lock:
    """On the folder of the lake itself, which its other users see as well; else in this user's own folder."""
    storage = Storage(lake)
    if not storage.remote:
        lock = Lock(Path(storage.uri))
        try:
            if lock.take():  # a file system of a network may know no locks of folders
                return lock
        except OSError:
            lock.close()
        else:
            return lock
    return Lock(kept.folder() / f"serving-{names(lake).mark}")


def await_other_machines(lake: str, here: str, say: Callable[[str], None], *, wait: bool) -> None:
    """Wait until no ``otzyv serve`` on another machine that shares this Prefect works on the lake.

    ``here``: the name of workers of this machine. Raises Served.
    """
    told = False
    while other := _elsewhere(names(lake).days, here):
        said = f"otzyv serve works on {lake} on another machine ({other})"
        if not wait:
            raise Served(said)
        if not told:
            say(f"{said}: this one waits until it ends; Ctrl-C stops")
            told = True
        time.sleep(5)


def _elsewhere(pool: str, here: str) -> str | None:
    """A worker of another ``serve`` that reports."""
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        client.read_work_pool(pool)
        for worker in client.read_workers_for_work_pool(pool):
            online = worker.status == WorkerStatus.ONLINE and worker.name.startswith(WORKER)
            if online and worker.name != here:
                return worker.name
    return None


def sign_off(lake: str, here: str) -> None:
    """Take the workers of this machine off the lake's pools: for a minute and a half they would still seem at work."""
    with get_client(sync_client=True) as client:
        for pool in names(lake).pools:
            try:
                client.request(
                    "DELETE",
                    "/work_pools/{work_pool_name}/workers/{name}",
                    path_params={"work_pool_name": pool, "name": here},
                )
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.NOT_FOUND:
                    raise
