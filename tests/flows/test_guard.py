"""The guard by itself: what it lets through to the server behind it, and what never gets there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from otzyv.flows.server.guard import Guard, listen, origins
from otzyv.flows.server.pools import HEARTBEATS, POOL
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


NOW = {
    "id": "1",
    "job_variables": {"env": {"A": "b"}},
    "pull_steps": None,
    "paused": False,
    "parameters": {"lake": "l"},
    "work_pool_name": f"{POOL}l",
    "flow_id": "f",
    "name": "n",
}

WHOLE = {
    "entrypoint": "otzyv.flows.maintain.maintain",
    "job_variables": {"env": HEARTBEATS},
    "work_pool_name": f"{POOL}l",
    "pull_steps": None,
    "parameter_openapi_schema": {"type": "object"},
    "parameters": {"lake": "l", "catch_up": 9},
}
"""As ``otzyv serve`` brings one up to date."""


def changed(body: bytes, *, parts: int = 1, status: int = 200, made: bool = False) -> tuple[bytes | None, int]:
    """What the server behind was sent of a change of a deployment that is as ``NOW`` says; and the answer's status.

    ``made``: the change is asked for as if a new one were to be made, of the same name.
    """
    got: list[bytes] = []
    sent: list[Any] = []
    size = -(-len(body) // parts) or 1
    coming = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer: Any = NOW
        if scope["path"].endswith("/filter"):
            wanted = json.loads((await receive())["body"])
            assert wanted == {"deployments": {"name": {"any_": ["n"]}}, "flows": {"id": {"any_": ["f"]}}}
            answer = [NOW]
        elif scope["method"] in ("PATCH", "POST"):
            got.append((await receive())["body"])
            assert not (await receive())["body"], "it may ask whether the caller is still there"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def receive() -> Any:
        part = coming.pop(0) if coming else b""
        return {"type": "http.request", "body": part, "more_body": bool(coming)}

    async def send(message: Any) -> None:
        sent.append(message)

    method, path = ("POST", "/api/deployments/") if made else ("PATCH", "/api/deployments/1")
    asked = scope(Caller("own", ("127.0.0.1:4200",), None), method, path)
    asyncio.run(Guard(app, OWN)(asked, receive, send))
    return got[0] if got else None, sent[0]["status"]


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"paused": True, "schedules": [], "description": "d", "concurrency_limit": 2}, True),
        ({"job_variables": {"env": {"A": "b"}}, "pull_steps": [], "parameters": {"lake": "l", "catch_up": 3}}, True),
        (WHOLE, True),
        (WHOLE | {"job_variables": {"command": "evil"}}, False),
        (WHOLE | {"entrypoint": "evil.py:main"}, False),
        (WHOLE | {"pull_steps": [{"evil": {}}]}, False),
        (WHOLE | {"work_pool_name": f"{POOL}another"}, False),
        (WHOLE | {"parameters": {"lake": "other"}}, False),
        ({"paused": True, "job_variables": {}}, False),
        ({"entrypoint": "evil.py:main"}, False),
        ({"parameters": {}}, False),
        ({"parameters": {"lake": "other"}}, False),
        ([1], False),
    ],
)
def test_of_a_deployment_nothing_is_changed_that_says_how_its_runs_start(change: object, passes: bool) -> None:
    body = json.dumps(change).encode()
    for parts in (1, 3):
        assert changed(body, parts=parts) == ((body, 200) if passes else (None, 403))
    assert changed(body, status=401) == (body, 401), "the server itself says who may not ask"
    if isinstance(change, dict):
        named = json.dumps(change | {"name": "n", "flow_id": "f"}).encode()
        assert changed(named, made=True) == ((named, 200) if passes else (None, 403)), (
            "one made anew changes it as well"
        )


def test_a_change_that_is_no_json_or_endless_gets_nowhere() -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"paused": "' + b"a" * (1 << 20) + b'"}'):
        assert changed(body, parts=4) == (None, 403)


def test_a_port_is_taken_once() -> None:
    with listen(0) as taken, pytest.raises(OSError, match="in use"):
        listen(taken.getsockname()[1])


def started(parameters: Any, *, bulk: bool = False) -> tuple[bytes | None, int]:
    """What the server behind was sent where a run is to be made with these parameters; and the answer's status."""
    got, sent = list[bytes](), list[Any]()
    run = {"parameters": parameters}
    body = json.dumps([{}, run] if bulk else run).encode()

    async def app(_: Any, receive: Any, send: Any) -> None:
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 201, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    asked = scope(
        Caller("own", ("127.0.0.1:4200",), None), path=f"/api/deployments/1/create_flow_run{'/bulk' if bulk else ''}"
    )
    asyncio.run(Guard(app, OWN)(asked, receive, send))
    if got:
        assert got == [body]
    return (got[0] if got else None), sent[0]["status"]


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({"request": {"from_day": "2026-03-02", "to_day": "2026-03-01"}}, True),
        ({"from_day": "2026-03-02", "to_day": "2025-03-02"}, True),
        ({"request": {"from_day": "2026-03-01", "to_day": "2026-03-01"}}, False),
        ({"request": {"from_day": "2026-03-02", "to_day": None}}, True),
        ({"request": {"to_day": "2026-03-02"}}, True),
        ({"request": {"from_day": "2026-02-30", "to_day": "2026-03-01"}}, True),
        ({"request": {"from_day": "tomorrow", "to_day": "2026-03-01"}}, True),
        ({"request": {"from_day": 2, "to_day": 1}}, True),
        ({"request": {"days": ["2026-03-01", "2026-02-29"]}}, True),
        ({"request": {"days": ["2026-03-01"], "from_day": "2026-03-01", "to_day": "2026-03-01"}}, True),
        ({"request": {"days": ["2026-03-01"], "from_day": None, "to_day": None}}, False),
        ({"request": {}}, False),
        ({"day": "2026-13-01"}, True),
        ({"day": {"__prefect_kind": "jinja", "template": "{{ day }}"}}, False),
        ({"from_day": "2026-03-01", "to_day": None}, False),  # of a fit: to the last
        ({"request": [1], "lake": "l"}, False),
        (None, False),
        ([], False),
    ],
)
def test_days_that_no_run_can_be_made_of_start_nothing_and_all_else_is_the_server_s(
    parameters: Any, refused: bool
) -> None:
    for bulk in (False, True):
        got, status = started(parameters, bulk=bulk)
        assert (got is None, status) == (refused, 422 if refused else 201)
