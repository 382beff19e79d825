"""Alerts for programs: posted as JSON, signed as standardwebhooks.com has it; and a sign of life after good runs."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
import time
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

import httpx

from otzyv.tasks.alerts.sending import NotSent, Told, is_address, key_bytes, unlogged

TIMEOUT = 5.0
"""Seconds to wait for a connection, and between two parts of an answer."""
PAUSES = (0.0, 1.0, 3.0)
"""Seconds to wait before each attempt, if the error may be temporary."""
NO_ADDRESS = "its address is no URL: write it as https://host/path"
PORTS = {"http": 80, "https": 443}
PASSING = (408, 425, 429)
"""Status codes that may be temporary, besides those of 500 and above."""


def post(address: str, key: str | None, told: Told) -> None:
    """Post a message as JSON, signed as Standard Webhooks has it if there is a key. Raises NotSent."""
    body = json.dumps(told.data, ensure_ascii=False).encode()
    _asked("POST", address, body, {"content-type": "application/json", **signed(key, told.id, int(time.time()), body)})


def ping(address: str) -> None:
    """Send a sign of life to a monitoring service. Raises NotSent."""
    _asked("GET", address, b"", {})


def reach(address: str) -> None:
    """Open a connection to an address's host and ask for nothing, which could count as a sign of life. Raises NotSent.

    Where a proxy stands between, only the address itself is looked at.
    """
    if not is_address(address):
        raise NotSent(NO_ADDRESS, again=False)
    url = httpx.URL(address)
    if getproxies().get(url.scheme) and not proxy_bypass(url.host):
        return
    try:
        with socket.create_connection((url.host, url.port or PORTS[url.scheme]), TIMEOUT) as connected:
            if url.scheme == "https":
                ssl.create_default_context().wrap_socket(connected, server_hostname=url.host).close()
    except OSError as error:
        raise NotSent(f"its host can't be reached ({type(error).__name__})") from error


def signed(key: str | None, message: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: id, time and, with a key, HMAC-SHA256 over both and the body.

    Raises NotSent for a key that can't be one.
    """
    headers = {"webhook-id": message, "webhook-timestamp": str(at)}
    if key is None:
        return headers
    try:
        secret = key_bytes(key)
    except ValueError as error:
        raise NotSent(f"webhook_key: {error}", again=False) from error
    digest = hmac.digest(secret, b".".join([message.encode(), str(at).encode(), body]), "sha256")
    return {**headers, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def _asked(method: str, address: str, body: bytes, headers: Mapping[str, str]) -> None:
    if not is_address(address):
        raise NotSent(NO_ADDRESS, again=False)
    for pause in PAUSES:
        time.sleep(pause)
        try:
            secure = address.lower().startswith("https:")  # else authorities of the web are read for nothing, 40 ms
            with (
                unlogged(),
                httpx.Client(timeout=TIMEOUT, verify=secure) as client,
                client.stream(method, address, content=body, headers=dict(headers)) as answer,
            ):
                pass  # what it says beside its status is not read: that may never end
        except Exception as error:  # also what its libraries raise of their own for an address
            failed = NotSent(f"it can't be reached ({type(error).__name__})")
            continue
        if answer.is_success:
            return
        failed = NotSent(f"it answers {answer.status_code}")
        if answer.status_code < 500 and answer.status_code not in PASSING:
            raise failed
    raise failed
