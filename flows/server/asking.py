"""Questions to Prefect's API without its client, whose import takes seconds."""

from __future__ import annotations

import base64
from typing import Any

import httpx


def authorization(login: str) -> str:
    """What somebody says who has a login, ``user:password``; nothing where there is none."""
    return f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""


async def ask(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """What the API answers to a POST. Raises httpx.HTTPError.

    ``client``: its base is the API, and its headers say the login. It is given a token against forged requests once.
    """
    if "prefect-csrf-client" not in client.headers:
        client.headers["prefect-csrf-client"] = "otzyv"
        token = await client.get("csrf-token", params={"client": "otzyv"})
        if token.status_code == 200:  # else it asks for none
            client.headers["prefect-csrf-token"] = token.json()["token"]
    return (await client.post(path, json=body)).raise_for_status().json()
