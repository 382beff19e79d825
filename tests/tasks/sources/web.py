"""A real https server on this machine, which a test reaches under the name of a host on the web."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from otzyv.tasks.sources.web import Web

HOST, PUBLIC = "cdn.example.ru", "93.184.216.34"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 10


def certificate(folder: Path, host: str) -> Path:
    """A certificate that speaks for itself and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@dataclass
class Served:
    """The server, what it was asked for, and which addresses it was reached under."""

    port: int
    trusted: Path
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    busy: int = 0
    """How often ``/busy`` answers 503 before it gives the file."""
    most: int = 0
    """How many files were asked for at the same time."""

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        assert port == 443
        self.reached.append(address)
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def web(self, **other: Any) -> Web:
        """Fetches from ``HOST``, which is this server; quickly weary."""
        known: dict[str, Any] = {
            "hosts": frozenset({HOST}),
            "seconds": 0.4,
            "longest": 1.5,
            "pause": 0.01,
            "resolve": lambda host: [PUBLIC],
            "connect": self.connect,
            "trust": partial(ssl.create_default_context, cafile=self.trusted),
        }
        return Web(**(known | other))


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served
    now = 0

    def do_GET(self) -> None:
        self.served.asked.append(self.path)
        self.served.headers.append(dict(self.headers.items()))
        type(self).now += 1
        self.served.most = max(self.served.most, type(self).now)
        try:
            self._answer(self.path.partition("?")[0].removeprefix("/").partition("/")[0])
        except OSError:
            self.close_connection = True
        finally:
            type(self).now -= 1

    def _answer(self, what: str) -> None:
        if what in ("301", "302", "307", "401", "403", "404", "410", "418", "500"):
            self._send(int(what), b"", {"Location": "https://127.0.0.1/secret.png"} if what[0] == "3" else {})
        elif what == "busy":
            self.served.busy -= 1
            self._send(200 if self.served.busy < 0 else 503, PNG)
        elif what == "huge":
            self._send(200, PNG, {"Content-Length": str(10**12)})
        elif what in ("endless", "drip", "short"):
            self._send(200, PNG, {} if what != "short" else {"Content-Length": "9999"}, length=False)
            for _ in range(300 if what != "short" else 0):
                self.wfile.write(bytes(2**17 if what == "endless" else 1))
                time.sleep(0 if what == "endless" else 0.1)
            self.close_connection = True
        elif what == "dripping-headers":
            for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300:
                self.wfile.write(bytes([letter]))
                time.sleep(0.1)
        elif what == "silent":
            time.sleep(3)
        elif what == "nonsense":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            self.close_connection = True
        elif what == "slow":
            time.sleep(0.05)
            self._send(200, PNG + self.path.encode())
        else:
            data = {"words.png": b"no picture", "sound.png": b"RIFF\0\0\0\0WAVEfmt ", "empty.png": b""}
            self._send(200, data.get(what, PNG + self.path.encode()))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, *, length: bool = True) -> None:
        self.send_response(status)
        found = ({"Content-Length": str(len(body))} if length else {}) | (headers or {})
        for name, value in found.items():
            self.send_header(name, value)
        self.send_header("Set-Cookie", "known=yes")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests read what was asked from ``Served``."""


@contextmanager
def serving(folder: Path, host: str = HOST) -> Iterator[Served]:
    pem = certificate(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.settimeout(10)
            with context.wrap_socket(request, server_side=True) as secure:
                Answers(secure, client_address, self)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that break off are what is tested."""

    class Answers(_Answers):
        served: Served

    with Server(("127.0.0.1", 0), Answers) as server:
        Answers.served = served = Served(server.server_address[1], pem)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield served
        server.shutdown()
        thread.join()
