"""Alerts for programs: posted as JSON, signed as standardwebhooks.com has it; and a sign of life after good runs."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping

import httpx

from otzyv.tasks.alerts.sending import NotSent, Told, is_address, unlogged

TIMEOUT = 5.0
"""Seconds that a receiver may take to connect, and between two parts of its answer."""
PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each try of what may pass."""
PASSING = (408, 425, 429)
"""Answers that may be another one soon, beside those of a broken server."""


def post(address: str, key: str | None, told: Told) -> None:
    """Post a message as JSON, signed as Standard Webhooks has it if there is a key. Raises NotSent."""
    body = json.dumps(told.data, ensure_ascii=False).encode()
    _asked("POST", address, body, {"content-type": "application/json", **signed(key, told.id, int(time.time()), body)})


def ping(address: str) -> None:
    """Tell a service that waits for it that all is well. Raises NotSent."""
    _asked("GET", address, b"", {})


def signed(key: str | None, message: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: id, time and, with a key, HMAC-SHA256 over both and the body."""
    headers = {"webhook-id": message, "webhook-timestamp": str(at)}
    if key is None:
        return headers
    digest = hmac.digest(key_bytes(key), b".".join([message.encode(), str(at).encode(), body]), "sha256")
    return {**headers, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def key_bytes(key: str) -> bytes:
    """A key that begins with ``whsec_`` goes on in base64; any other is taken as it is."""
    if key.startswith("whsec_"):
        try:
            return base64.b64decode(key.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return key.encode()


def _asked(method: str, address: str, body: bytes, headers: Mapping[str, str]) -> None:
    if not is_address(address):
        raise NotSent("its address is none", again=False)
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
