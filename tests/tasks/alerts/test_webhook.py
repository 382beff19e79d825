"""What is posted can be checked by its receiver, is tried again while that may help, and gives no address away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from contextlib import suppress

import pytest

from otzyv.tasks.alerts import webhook
from otzyv.tasks.alerts.sending import NotSent, Told
from otzyv.tasks.alerts.webhook import ping, post
from tests.tasks.alerts.heard import closed_port, hearing

TOLD = Told("id-1", "otzyv lake: missing: 2026-03-01", "text", {"event": "otzyv.day.missing", "was": "нет отзывов"})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("a key of words", b"a key of words"),
        ("whsec_" + base64.b64encode(b"\x00\xff bytes").decode(), b"\x00\xff bytes"),
        ("not at the start: whsec_", b"not at the start: whsec_"),
    ],
)
def test_the_signature_is_that_of_standard_webhooks(key: str, secret: bytes) -> None:
    with hearing() as heard:
        post(f"{heard.address}/hook?a=1", key, TOLD)
    ((asked, headers, body),) = heard.asked
    assert asked == "POST /hook?a=1"
    assert json.loads(body) == TOLD.data
    assert headers["webhook-id"] == "id-1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    content = f"id-1.{headers['webhook-timestamp']}.".encode() + body
    block = secret.ljust(64, b"\0")  # HMAC by its definition in RFC 2104
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + content).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(outer).decode()}"
    assert hmac.compare_digest(outer, hmac.new(secret, content, "sha256").digest())


def test_with_a_key_that_can_not_be_one_nothing_is_posted() -> None:
    with hearing() as heard, pytest.raises(NotSent, match=r"^webhook_key: what follows whsec_ is not base64"):
        post(heard.address, "whsec_not base64!", TOLD)
    assert not heard.asked


def test_without_a_key_nothing_is_signed() -> None:
    with hearing() as heard:
        post(heard.address, None, TOLD)
    assert "webhook-signature" not in heard.asked[0][1]


@pytest.mark.parametrize(
    ("answers", "asked", "why"),
    [
        ([200], 1, None),
        ([204], 1, None),
        ([500, 503, 200], 3, None),
        ([429, 200], 2, None),
        ([500], 3, "it answers 500"),
        ([404], 1, "it answers 404"),
        ([302], 1, "it answers 302"),
    ],
)
def test_what_may_pass_is_tried_again(answers: list[int], asked: int, why: str | None) -> None:
    with hearing(*answers) as heard:
        if why is None:
            post(heard.address, "a key of words", TOLD)
        else:
            with pytest.raises(NotSent, match=f"^{why}$"):
                post(heard.address, "a key of words", TOLD)
    assert len(heard.asked) == asked
    assert len({headers["webhook-id"] for _, headers, _ in heard.asked}) == 1, "a receiver can tell that it is the same"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:{port}/geheim", "http://geheim.invalid/geheim", "http://127.0.0.1:99999/geheim",
     "http://127.0.0.1:8O80/geheim", "geheim", "http://[::1/geheim", "https://127.0.0.1:{port}/geheim"],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_one_error_that_tells_nothing_of_it(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for send in (lambda at: post(at, "geheimer key", TOLD), ping):
        with pytest.raises(NotSent) as failed:
            send(address.format(port=closed_port()))
        assert "geheim" not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert "geheim" not in caplog.text


def test_no_log_has_an_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with hearing() as heard:
        post(f"{heard.address}/geheim", "geheimer key", TOLD)
        ping(f"{heard.address}/geheim")
    assert [asked for asked, _, _ in heard.asked] == ["POST /geheim", "GET /geheim"]
    assert "geheim" not in caplog.text


def test_an_answer_that_never_ends_is_taken_by_its_status() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            asking, _ = server.accept()
            with asking, suppress(OSError):
                asking.recv(1 << 16)
                asking.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                asking.settimeout(30)
                asking.recv(1)  # until the other one has gone

        answering = threading.Thread(target=answer)
        answering.start()
        began = time.monotonic()
        ping(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - began < 3
        answering.join()
