"""What a web page of another site, a name that it points at this machine, and another user would try on Prefect's API.

Requests are sent as a browser puts them on the wire, without its own checks: what is refused here is refused by the
server alone.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

EVIL = "https://evil.example"


@dataclass(frozen=True)
class Caller:
    """Who asks: the Host and the Origin of a request, and what else its browser says."""

    name: str
    hosts: tuple[str, ...]
    origin: str | None = None
    says: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """What is asked. ``kind``: the Content-Type, None for none, as of a Blob, which needs no preflight either."""

    method: str
    path: str
    body: Any = None
    kind: str | None = "application/json"


def foreign(port: int) -> Iterator[Caller]:
    """Pages of other sites, by their Origin, by a Host that was pointed at this machine, and without either."""
    here = f"127.0.0.1:{port}"
    for origin in (
        EVIL, "null", "", "http://127.0.0.1", "http://localhost", f"https://{here}", f"http://127.0.0.1:{port - 1}",
        f"http://127.0.0.1:{port}0", f"http://{here}.evil.example", f"http://{here}@evil.example", "file://",
        f"http://evil.example:{port}", f"http://localhost.evil.example:{port}", f"http://{here}/",
        f"http://{here} {EVIL}", f"http://{here},{EVIL}", f"http://[::1]:{port}", f"http://2130706433:{port}", "chrome-extension://abcdef",
    ):  # fmt: skip
        yield Caller(f"Origin {origin}", (here,), origin)
    for host in (
        "evil.example", f"evil.example:{port}", f"127.0.0.1.nip.io:{port}", "127.0.0.1", "localhost", "", f":{port}",
        f"127.0.0.1:{port - 1}", f"127.0.0.1.:{port}", f"localhost.:{port}", f"LOCALHOST.EVIL.EXAMPLE:{port}",
        f"{here}@evil.example", f"evil.example@{here}", f"[::1]:{port}", f"0.0.0.0:{port}", f"127.1:{port}",
        f"2130706433:{port}", f"{here},evil.example", f"{here}/", f"{here}#evil.example", f"xn--127-0-0-1:{port}",
    ):  # fmt: skip
        yield Caller(f"Host {host}", (host,), f"http://{host}")
        yield Caller(f"Host {host}, no Origin", (host,))
    yield Caller("two Hosts", (here, "evil.example"))
    yield Caller("two Hosts, ours last", ("evil.example", here))
    for name in ("X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "X-Original-Host", "X-Host"):
        yield Caller(f"{name} of ours", ("evil.example",), EVIL, ((name, here),))
        yield Caller(f"{name} of theirs", (here,), EVIL, ((name, "evil.example"),))
    for site, mode in (("cross-site", "no-cors"), ("same-site", "no-cors"), ("cross-site", "websocket")):
        yield Caller(f"{site}, {mode}", (here,), None, (("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)))
    yield Caller(
        "a form of another site", (here,), None, (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
    )


def stranger(port: int) -> Caller:
    """Another user of this machine, with a program of his own."""
    return Caller("another user", (f"127.0.0.1:{port}",))


def requests(deployment: str, command: str) -> Iterator[Request]:
    """The ways that lead to a command being run, and to what the server knows. The deployment needs no parameters."""
    run = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": command}}
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        yield Request("POST", f"deployments/{deployment}/create_flow_run", run, kind)
    yield Request("PATCH", f"deployments/{deployment}", {"job_variables": {"command": command}})
    yield Request("PATCH", "work_pools/otzyv", {"concurrency_limit": 100})
    yield Request("POST", "work_pools/", {"name": "evil", "type": "process"}, None)
    yield Request("POST", "flows/", {"name": "evil"}, None)
    yield Request("POST", "variables/", {"name": "evil", "value": "evil"}, None)
    yield Request("POST", "flow_runs/filter", {}, None)
    yield Request("POST", "logs/", [], None)
    yield Request("DELETE", "work_pools/evil")
    for path in (f"deployments/{deployment}", "admin/settings", "csrf-token?client=evil", "work_pools/otzyv"):
        yield Request("GET", path)


def sent(
    port: int, caller: Caller, request: Request, more: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    """The server's answer; ``more``: headers beside the caller's, a login for one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.putrequest(request.method, f"/api/{request.path}", skip_host=True, skip_accept_encoding=True)
        for host in caller.hosts:
            connection.putheader("Host", host)
        if caller.origin is not None:
            connection.putheader("Origin", caller.origin)
        body = None if request.body is None else json.dumps(request.body).encode()
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
            if request.kind:
                connection.putheader("Content-Type", request.kind)
        for name, value in [*caller.says, *(more or {}).items()]:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        with suppress(ConnectionResetError):  # who is refused before the request was read may not hear all of why
            answer.read()
        return answer
    finally:
        connection.close()


def preflight(port: int, caller: Caller, request: Request) -> bool:
    """Whether a browser would let a page of the caller's Origin go on with the request."""
    asks = {"Access-Control-Request-Method": request.method, "Access-Control-Request-Headers": "content-type"}
    answer = sent(port, caller, Request("OPTIONS", request.path), asks)
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    return answer.status < 400 and allowed in ("*", caller.origin)


SOCKETS = ("events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "bm9ib2R5IGdldHMgaW4hIQ==",
}


def socket_opened(port: int, caller: Caller, path: str, protocol: str | None = "prefect") -> bool:
    """Whether a page gets a web socket: browsers ask no server whether it may, and send its Origin along."""
    asks = UPGRADE | ({"Sec-WebSocket-Protocol": protocol} if protocol else {})
    return sent(port, caller, Request("GET", path), asks).status == 101


def get_in(port: int, caller: Caller, asked: Sequence[Request], more: Mapping[str, str] | None = None) -> list[Request]:
    """Those of the requests that the server answers, or lets a browser go on with, and its sockets if one opens."""
    answered = [each for each in asked if sent(port, caller, each, more).status not in (400, 403)]
    allowed = [each for each in asked if preflight(port, caller, each)]
    opened = [Request("GET", path) for path in SOCKETS if socket_opened(port, caller, path)]
    return answered + allowed + opened
