"""The guard by itself: what it lets through to the server behind it, and what never gets there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from flows.guard import Guard, listen, origins
from tests.flows.attacks import Caller, foreign

PORT = 4200
OWN = ("http://127.0.0.1:4200", "http://localhost:4200")


def scope(caller: Caller, method: str = "POST", path: str = "/api/flow_runs/filter", kind: str = "http") -> Any:
    said = [*(("host", host) for host in caller.hosts), *caller.says]
    said += [("origin", caller.origin)] if caller.origin is not None else []
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in said]
    return {"type": kind, "method": method, "path": path, "headers": headers}


def let_in(asked: Any, allowed: Sequence[str] = OWN) -> tuple[bool, list[Any]]:
    """Whether the server behind was asked, and what the guard sent."""
    sent: list[Any] = []
    reached: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        reached.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    asyncio.run(Guard(app, allowed)(asked, receive, send))
    return bool(reached), sent


@pytest.mark.parametrize("caller", list(foreign(PORT)), ids=lambda caller: caller.name)
def test_pages_and_names_of_others_get_nowhere(caller: Caller) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        reached, (start, _) = let_in(scope(caller, method))
        assert not reached
        assert start["status"] == 403
    reached, (closed,) = let_in(scope(caller, kind="websocket"))
    assert not reached
    assert closed["type"] == "websocket.close"


def test_own_pages_commands_and_links_get_through_unframed() -> None:
    for host in ("127.0.0.1:4200", "localhost:4200", "LOCALHOST:4200"):
        for origin in (None, *OWN):
            for kind in ("http", "websocket"):
                assert let_in(scope(Caller("own", (host,), origin), kind=kind))[0]
    link = Caller("link", ("127.0.0.1:4200",), None, (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")))
    reached, (start,) = let_in(scope(link, "GET", "/runs"))
    assert reached
    assert (b"x-frame-options", b"DENY") in start["headers"]
    assert not let_in(scope(link, "POST", "/runs"))[0]
    assert not let_in(scope(link, "GET", "/api/csrf-token"))[0]


def test_the_origin_of_a_proxy_is_let_in_where_it_is_named() -> None:
    proxy = Caller("proxy", ("reviews.example",), "https://reviews.example")
    assert not let_in(scope(proxy))[0]
    assert let_in(scope(proxy), (*OWN, "https://reviews.example"))[0]
    assert origins(80) == ("http://127.0.0.1", "http://localhost")


def test_a_port_is_taken_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with listen(port), pytest.raises(OSError, match="in use"):
        listen(port)
