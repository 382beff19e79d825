"""A server on loopback that speaks OpenAI's protocol for embeddings, charges by the token, and fails when asked to."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIM = 8
KEY = "sk-a-key-that-nobody-may-see"


def vector(text: str) -> list[float]:
    """What the server's model makes of a text: the same every time."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    values = np.random.default_rng(seed).normal(size=DIM)
    return [float(x) for x in (values / np.linalg.norm(values)).astype(np.float32)]


class Embeddings:
    """What was asked of the server and what it charged. ``script``: how the next requests go; after them all go well.

    ``ok``, a status as ``429`` (with seconds to wait, ``429 7``), ``402 some_code`` and the like, or a way to fail.
    Requests that fail by ``500``, ``hang`` or ``cut`` are charged all the same.
    """

    def __init__(self) -> None:
        self.script: deque[str] = deque()
        self.requests: list[dict[str, Any]] = []
        self.charged: Counter[str] = Counter()
        self.tokens = 0
        self.count: Callable[[str], int] = lambda text: max(1, len(text.encode()) // 3)
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        self.requests.append(asked)
        way, _, more = (self.script.popleft() if self.script else "ok").partition(" ")
        if handler.headers["authorization"] != f"Bearer {KEY}":
            way = "401"
        if way.isdigit():
            if way == "500":
                self._charge(asked["input"])
            self._refuse(handler, int(way), more, asked["input"])
            return
        sizes = self._charge(asked["input"])
        if way == "hang":
            time.sleep(1)
            return
        dim = DIM + 1 if way == "wrong_dimension" else DIM
        data = [
            {"object": "embedding", "index": place, "embedding": _coded((vector(text) * 2)[:dim], asked)}
            for place, text in enumerate(asked["input"])
        ]
        data = data[::-1]  # the protocol promises no order
        if way == "partial":
            data = data[: len(data) // 2]
        tokens = sum(sizes) * (10 if way == "overcharge" else 1)
        said = {"object": "list", "data": data, "model": asked["model"], "usage": {"total_tokens": tokens}}
        body = b"<html>" if way == "nonsense" else json.dumps(said).encode()
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.send_header("connection", "close")
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if way == "cut" else body)

    def _charge(self, texts: list[str]) -> list[int]:
        sizes = [self.count(text) for text in texts]
        self.charged.update(texts)
        self.tokens += sum(sizes)
        return sizes

    def _refuse(self, handler: BaseHTTPRequestHandler, status: int, more: str, texts: list[str]) -> None:
        """As unkind as can be: the message quotes what was sent."""
        said = {"message": f"{texts} {handler.headers['authorization']}", "type": "error", "param": None, "code": None}
        if more and not more[0].isdigit():
            said["code"] = more
        body = json.dumps({"error": said}).encode()
        handler.send_response(status)
        if more and more[0].isdigit():
            handler.send_header("retry-after", more)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def _coded(values: list[float], asked: dict[str, Any]) -> Any:
    if asked.get("encoding_format") == "base64":
        return base64.b64encode(np.array(values, np.float32).tobytes()).decode()
    return values


@contextmanager
def serving() -> Iterator[Embeddings]:
    embeddings = Embeddings()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/embeddings"
            embeddings.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    embeddings.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield embeddings
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
