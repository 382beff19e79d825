"""Receivers on loopback that keep what they were told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Heard:
    """``answers``: the statuses that it gives, one after the other, the last over and over."""

    address: str
    answers: Sequence[int] = (200,)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Method and path, headers in lower case, body."""

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.asked]


@contextmanager
def hearing(*answers: int, delay: float = 0.0) -> Iterator[Heard]:
    """``delay``: seconds before each answer."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = heard.answers[min(len(heard.asked), len(heard.answers) - 1)]
            heard.asked.append((f"{self.command} {self.path}", headers, body))
            stop.wait(delay)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard = Heard(f"http://127.0.0.1:{server.server_port}", answers or (200,))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    """A port of loopback on which nobody answers."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
