"""A road to Prefect's server on which answers get lost, and which can be cut."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class Road(socketserver.ThreadingTCPServer):
    """``with Road(url, loses=b"/create_flow_run") as road``: reached at ``road.url``.

    ``loses``: the first answer to a request for this path gets lost; ``lost`` tells whether it did.
    """

    daemon_threads = True

    def __init__(self, url: str, loses: bytes | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Ride)
        where = urlsplit(url)
        self.leads_to = (str(where.hostname), int(where.port or 0))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.loses = loses
        self.lost = threading.Event()
        self.open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.1,)).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """Nobody gets through any more."""
        self.shutdown()
        self.server_close()
        for end in list(self.open):
            _shut(end)


class _Ride(socketserver.BaseRequestHandler):
    server: Road

    def handle(self) -> None:
        near: socket.socket = self.request
        here = self.server.url.removeprefix("http://").encode()
        there = "{}:{}".format(*self.server.leads_to).encode()
        asked = threading.Event()
        with socket.create_connection(self.server.leads_to) as far:
            self.server.open |= {near, far}
            back = threading.Thread(target=self.answer, args=(far, near, asked))
            back.start()
            with suppress(OSError):
                while some := near.recv(65536):
                    if self.server.loses and self.server.loses in some:
                        asked.set()
                    far.sendall(some.replace(here, there))  # the server answers to its own Host alone
            _shut(far)
            back.join()
            self.server.open -= {near, far}

    def answer(self, far: socket.socket, near: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while some := far.recv(65536):
                if asked.is_set() and not self.server.lost.is_set():
                    self.server.lost.set()
                    break
                near.sendall(some)
        _shut(near)


def _shut(end: Any) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
