"""Prefect's server behind a guard: it answers its own pages and this machine's commands, and no other web page.

Prefect 3.8.8 can be told its origins, a login and CSRF tokens, but checks neither the Host of a request (a name that
another site points at this machine) nor the Origin of a web socket. Read there: ``create_app`` of
prefect/server/api/server.py, which `prefect server start` hands to uvicorn, and ``accept_prefect_socket`` of
prefect/server/utilities/subscriptions.py.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from otzyv.flows.server import asked_days
from otzyv.flows.server.asking import Questions, authorization
from otzyv.flows.server.backfills import PATH, Backfills
from otzyv.flows.server.garbage import collect_apart
from otzyv.flows.server.health import Health
from otzyv.flows.server.pools import HEARTBEATS, POOL, TAG
from otzyv.flows.server.process import ServerProcess

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from otzyv.flows.server.metrics import Metrics

ORIGINS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
"""Origins of the pages that may call the server, with commas between them; their hosts are those it answers to."""
PARENT = "PREFECT__OTZYV_PARENT"
"""The process that the server ends with, in its environment."""
UNFRAMED = ((b"x-frame-options", b"DENY"), (b"content-security-policy", b"frame-ancestors 'none'"))
"""No page may show ours in a frame and have its buttons clicked unseen."""


CHANGEABLE = frozenset(
    {"concurrency_limit", "concurrency_options", "description", "parameters", "paused", "schedules", "version"}
)
"""Fields of a deployment that may be changed through the API: all others say how its runs are started, and where."""
MOST_CHANGED = 1 << 20
_OURS = re.compile(r"otzyv\.flows\.\w+\.\w+")
_DEPLOYMENT = re.compile(r"/api/deployments/[^/]+/?")
_DEPLOYMENTS = re.compile(r"/api/deployments/?")
_RUNS = re.compile(r"/api/deployments/[^/]+/create_flow_run(?:/bulk)?/?")


class Guard:
    """Refuses what no page of these origins and no program of this machine would ask, and changes of how runs start."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self.app = app
        self.origins = frozenset(origin.lower() for origin in origins)
        self.hosts = frozenset(urlsplit(origin).netloc for origin in self.origins)
        self.questions = _questions(app)
        self.health = Health(self.questions.ask, TAG)
        self.backfills = Backfills(self.questions.ask, TAG)
        self.metrics: Metrics | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif why := self.refusal(scope):
            await _refuse(scope, send, why)
        else:

            async def unframed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), *UNFRAMED]
                await send(message)

            if scope["type"] == "http" and scope["path"] == "/health":
                await self._healthy(scope, unframed)
                return
            if scope["type"] == "http" and scope["path"] == "/metrics":
                await self._metrics(scope, unframed)
                return
            if scope["type"] == "http" and scope["method"] == "GET" and PATH.fullmatch(scope["path"]):
                await self._backfills(scope, unframed)
                return
            method = scope["method"] if scope["type"] == "http" else ""
            if method == "PATCH" and _DEPLOYMENT.fullmatch(scope["path"]):
                await self._changed(scope, receive, unframed)
            elif method == "POST" and _DEPLOYMENTS.fullmatch(scope["path"]):
                await self._changed(scope, receive, unframed)  # of a name that is there it changes the one that has it
            elif method == "POST" and _RUNS.fullmatch(scope["path"]):
                await self._started(scope, receive, unframed)
            else:
                await self.app(scope, receive, unframed)

    async def _healthy(self, scope: Scope, send: Send) -> None:
        """Tell whether all is well, and whoever has the login also what is not."""
        try:
            told = await self.health.told()
        except httpx.HTTPError as error:  # the server's own
            told = {"ok": False, "server": f"does not answer ({type(error).__name__})"}
        body = json.dumps(told if _knows_login(scope) else {"ok": told["ok"]}, ensure_ascii=False, indent=2).encode()
        headers = [(b"content-type", b"application/json; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200 if told["ok"] else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body + b"\n"})

    async def _metrics(self, scope: Scope, send: Send) -> None:
        """Tell figures to whoever has the login."""
        headers = [(b"cache-control", b"no-store")]
        if _knows_login(scope):
            from otzyv.flows.server.metrics import TYPE

            status, kind, told = 200, TYPE, await self._told_metrics()
        else:
            headers.append((b"www-authenticate", b'Basic realm="otzyv", charset="UTF-8"'))
            status, kind, told = 401, "text/plain; charset=utf-8", b"These figures ask for the login of this server.\n"
        headers.append((b"content-type", kind.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    async def _told_metrics(self) -> bytes:
        if self.metrics is None:
            from prefect.settings import get_current_settings

            from otzyv.flows.server.metrics import Metrics  # whose library only those need who are asked

            self.metrics = Metrics(self.questions.ask, self.health, get_current_settings().home)
        return await self.metrics.told()

    async def _backfills(self, scope: Scope, send: Send) -> None:
        """Show how far backfills are to whoever has the login; a browser asks for it."""
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        if not _knows_login(scope):
            headers.append((b"www-authenticate", b'Basic realm="otzyv", charset="UTF-8"'))
            status, page = 401, "These pages ask for the login of this server.\n"
        else:
            try:
                status, page = await self.backfills.page(scope["path"])
            except httpx.HTTPError as error:  # the server's own
                status, page = 503, f"Prefect's server does not answer ({type(error).__name__}).\n"
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": page.encode()})

    async def _changed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a change of a deployment on, if its runs start as before."""
        body = await _body(receive, MOST_CHANGED)
        if body is None:
            await _refuse(scope, send, f"a change of a deployment has at most {MOST_CHANGED} bytes")
            return
        known = await self._there(scope, body)
        why = unchangeable(body, known) if known else None  # else the server itself says what is wrong
        if why:
            await _refuse(scope, send, why)
            return
        await self.app(scope, _said_again(body, receive), send)

    async def _started(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on that a run is to be made of a deployment, unless nothing could come of it."""
        body = await _body(receive, MOST_CHANGED)
        if body is None:
            await _answer(send, 413, f"the parameters of a run have at most {MOST_CHANGED} bytes")
        elif why := asked_days.refused(body):
            await _answer(send, 422, why)
        else:
            await self.app(scope, _said_again(body, receive), send)

    async def _there(self, scope: Scope, body: bytes) -> bytes | None:
        """The deployment that would be changed, as the server tells it to whoever asks; None where there is none."""
        if scope["method"] == "PATCH":
            status, known = await self._asked(scope, "GET", scope["path"])
            return known if status == 200 else None
        try:
            wanted = json.loads(body)
            filters = {
                "deployments": {"name": {"any_": [wanted["name"]]}},
                "flows": {"id": {"any_": [wanted["flow_id"]]}},
            }
        except (ValueError, RecursionError, TypeError, KeyError):
            return None
        status, found = await self._asked(scope, "POST", "/api/deployments/filter", json.dumps(filters).encode())
        same = json.loads(found) if status == 200 else []
        return json.dumps(same[0]).encode() if same else None

    async def _asked(self, scope: Scope, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """The status and body of the server's answer to whoever asks, had they asked for this."""
        status, parts = 0, list[bytes]()

        async def asked() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        headers = [(key, value) for key, value in scope["headers"] if key in _KEPT]
        inner = {**scope, "method": method, "path": path, "raw_path": path.encode(), "headers": headers}
        await self.app({**inner, "query_string": b""}, asked, heard)
        return status, b"".join(parts)

    def refusal(self, scope: Scope) -> str | None:
        """What is wrong with a request or the opening of a web socket; None where nothing is."""
        told = {name: [value for key, value in scope["headers"] if key == name] for name in _READ}
        hosts, origins = told[b"host"], told[b"origin"]
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self.hosts:
            return "this server does not answer to that Host"
        if any(origin.decode("latin-1").lower() not in self.origins for origin in origins):
            return "pages of that Origin may not call this server"
        # Without an Origin it may still be a picture or a script of a foreign page; a link to a page of ours is good.
        foreign = not origins and not {*told[b"sec-fetch-site"]} <= {b"none", b"same-origin"}
        page = scope["type"] == "http" and scope["method"] == "GET" and not scope["path"].startswith("/api")
        opened = page and told[b"sec-fetch-mode"] == [b"navigate"]
        return "other sites may not call this server" if foreign and not opened else None


def _questions(app: ASGIApp) -> Questions:
    """To the server behind, of somebody who has the login."""
    headers = {"authorization": _login()} if _login() else {}
    transport = httpx.ASGITransport(app=app)
    return Questions(httpx.AsyncClient(transport=transport, base_url="http://guard/api/", headers=headers))


def _login() -> str:
    """What somebody says who has the login of this server; nothing where it asks for none."""
    return authorization(os.environ.get("PREFECT_SERVER_API_AUTH_STRING", ""))


def _knows_login(scope: Scope) -> bool:
    asked = dict(scope["headers"]).get(b"authorization", b"")
    return not _login() or secrets.compare_digest(asked, _login().encode())


def unchangeable(body: bytes, known: bytes) -> str | None:
    """What a change of a deployment would change besides ``CHANGEABLE``; None where it is nothing.

    ``known``: the deployment as the server tells it. A form sends all fields, changed or not; ``otzyv serve``, which
    brings a deployment up to date, sends a whole one.
    """
    try:
        wanted, now = json.loads(body), json.loads(known)
    except (ValueError, RecursionError):
        return "a change of a deployment is a JSON object"
    if not isinstance(wanted, dict):
        return "a change of a deployment is a JSON object"
    lake, given = (now.get("parameters") or {}).get("lake"), wanted.get("parameters")
    if isinstance(given, dict) and given.get("lake") != lake:
        return f"the parameter lake of a deployment stays {lake}: name another lake in a run of its own (allowed_lakes)"
    if _as_deployed(wanted, now):
        return None
    others = [name for name in sorted(wanted.keys() - CHANGEABLE) if (wanted[name] or None) != (now.get(name) or None)]
    if others:
        return (
            f"of a deployment {', '.join(sorted(CHANGEABLE))} can be changed, and nothing else: with another "
            f"{', '.join(others)} its runs would not be those that otzyv serve has deployed"
        )
    return None


def _as_deployed(wanted: Mapping[str, object], now: Mapping[str, object]) -> bool:
    """Whether it is a whole deployment, whose runs are started as those of ``otzyv serve``."""
    entrypoint = wanted.get("entrypoint")
    return (
        "parameter_openapi_schema" in wanted
        and isinstance(entrypoint, str)
        and _OURS.fullmatch(entrypoint) is not None
        and wanted.get("job_variables") == {"env": HEARTBEATS}
        and str(wanted.get("work_pool_name")).startswith(POOL)
        and wanted.get("work_pool_name") == now.get("work_pool_name")
        and not any(wanted.get(name) for name in ("pull_steps", "storage_document_id", "infrastructure_document_id"))
    )


async def _body(receive: Receive, most: int) -> bytes | None:
    """A request's body; None where it has more bytes."""
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":  # whoever asked has gone
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _said_again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for the server behind; then whatever else comes."""
    left: bytes | None = body

    async def again() -> Message:
        nonlocal left
        if left is None:
            return await receive()
        told, left = left, None
        return {"type": "http.request", "body": told, "more_body": False}

    return again


_KEPT = (b"host", b"authorization", b"content-type", b"prefect-csrf-token", b"prefect-csrf-client")
"""Headers that say who asks."""
_READ = (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode")


async def _answer(send: Send, status: int, why: str) -> None:
    """As the server itself says what is wrong: its pages show it."""
    headers = [(b"content-type", b"application/json; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": why}).encode()})


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})  # before it was accepted: status 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *UNFRAMED]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})


def listen(port: int) -> socket.socket:
    """A listening socket on loopback. Raises OSError where the port is taken.

    The process that starts the server holds it for as long as it lives: while the server starts, or is started again,
    nobody else can answer in its place and be told the login.
    """
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(2048)
    except BaseException:
        listening.close()
        raise
    return listening


def origins(port: int) -> tuple[str, ...]:
    """What a browser on this machine calls pages on a port of loopback."""
    at = "" if port == 80 else f":{port}"
    return (f"http://127.0.0.1{at}", f"http://localhost{at}")


def spawn(listening: socket.socket, environment: Mapping[str, str]) -> ServerProcess:
    """The server as a process of its own, which answers on the socket, and ends when this process does.

    What it creates is for its owner alone.
    """
    return ServerProcess(
        # -P: whatever lies in the folder that the command is called in
        [sys.executable, "-P", "-m", "otzyv.flows.server.guard"],
        {**environment, PARENT: str(os.getpid())},
        stdin=listening.fileno(),
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent, which ends its server when all else has ended
        umask=0o077,
    )


def _end_with(parent: int) -> None:
    """Wait until the parent has ended, whichever way, and end this process.

    The kernel's own signal for that (PR_SET_PDEATHSIG) would already come when the parent's *thread* ends that started
    it.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)  # for connections that nobody closes
    os._exit(1)


def main() -> None:
    """Serve on the socket that is standard input, until SIGINT or SIGTERM, or until the parent has ended."""
    threading.Thread(target=_end_with, args=[int(os.environ[PARENT])], daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    from otzyv.flows.server.sqlite import let_writers_wait

    let_writers_wait()
    api = get_current_settings().server.api
    config = uvicorn.Config(
        Guard(create_app(final=True), os.environ[ORIGINS].split(",")),
        proxy_headers=False,
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        log_level="error",  # why it can't start: its parent tells
    )
    collect_apart()
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=sys.stdin.fileno())])


if __name__ == "__main__":
    main()
