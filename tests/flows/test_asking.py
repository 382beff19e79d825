"""Questions to Prefect's API: many at once, of several askers, while tokens are replaced and run out."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from otzyv.flows.server.asking import Questions
from otzyv.flows.server.guard import Guard, origins


class Server:
    """As Prefect's server: a name has one token, which a new one replaces, and other tokens of the name are refused."""

    def __init__(self, *, protected: bool = True) -> None:
        self.protected, self.tokens, self.given = protected, dict[str, str](), 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status, answer = self.answer(scope)
        await asyncio.sleep(0.001)  # others ask meanwhile
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def answer(self, scope: Any) -> tuple[int, Any]:
        if scope["path"] == "/api/csrf-token":
            if not self.protected:
                return 422, {"detail": "CSRF protection is disabled."}
            (name,) = parse_qs(scope["query_string"].decode())["client"]
            self.tokens[name] = secrets.token_hex(8)
            self.given += 1
            return 200, {"token": self.tokens[name]}
        said = {key.decode(): value.decode() for key, value in scope["headers"]}
        if self.protected and "prefect-csrf-token" not in said:
            return 403, {"detail": "Missing CSRF token."}
        if self.protected and self.tokens.get(said["prefect-csrf-client"]) != said["prefect-csrf-token"]:
            return 403, {"detail": "Invalid CSRF token or client identifier."}
        return 200, []


def asker(server: Server) -> Questions:
    return Questions(httpx.AsyncClient(transport=httpx.ASGITransport(app=server), base_url="http://there/api/"))


@pytest.mark.parametrize("protected", [True, False])
def test_many_questions_at_once_of_several_askers_are_all_answered(protected: bool) -> None:
    server = Server(protected=protected)

    async def many() -> None:
        guard, others = Guard(server, origins(4200)), [asker(server) for _ in range(4)]
        for _ in range(3):
            asked = [each.ask("flow_runs/filter", {}) for each in [guard.questions, *others] * 10]
            assert await asyncio.gather(*asked) == [[]] * len(asked)
            server.tokens.clear()  # as after their hour

    asyncio.run(many())
    assert server.given == (15 if protected else 0), "one for each asker, and one for each that ran out"


def test_a_server_that_refuses_every_token_is_asked_twice_and_no_more() -> None:
    class Refusing(Server):
        def answer(self, scope: Any) -> tuple[int, Any]:
            self.tokens.clear()
            return super().answer(scope)

    server = Refusing()
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        asyncio.run(asker(server).ask("flow_runs/filter", {}))
    assert server.given == 2
