"""Questions to Prefect's API without its client, whose import takes seconds."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import Any

import httpx


def authorization(login: str) -> str:
    """What somebody says who has a login, ``user:password``; nothing where there is none."""
    return f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""


class Questions:
    """Questions of one asker, any number at a time.

    Prefect's server gives each name a token against forged requests, and a new one takes the place of the last. So the
    name is this asker's own, and the token is asked for once, and again where it is refused, as after its hour.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        """``client``: its base is the API, and its headers say the login."""
        self.client = client
        self.name = f"otzyv {secrets.token_hex(8)}"
        self.token: str | None = None
        """None before it is asked for, and empty where the server asks for none."""
        self._renewing = asyncio.Lock()

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """What the API answers to a POST. Raises httpx.HTTPError."""
        token = self.token if self.token is not None else await self._renewed(None)
        answer = await self._post(path, body, token)
        if answer.status_code == httpx.codes.FORBIDDEN and "CSRF token" in answer.text:
            answer = await self._post(path, body, await self._renewed(token))
        return answer.raise_for_status().json()

    async def _post(self, path: str, body: dict[str, Any], token: str) -> httpx.Response:
        said = {"prefect-csrf-client": self.name, "prefect-csrf-token": token} if token else {}
        return await self.client.post(path, json=body, headers=said)

    async def _renewed(self, refused: str | None) -> str:
        """A token in place of one that was refused; that of another question which has asked for it meanwhile."""
        async with self._renewing:
            if self.token is None or self.token == refused:
                told = await self.client.get("csrf-token", params={"client": self.name})
                self.token = told.json()["token"] if told.status_code == httpx.codes.OK else ""
            return self.token
