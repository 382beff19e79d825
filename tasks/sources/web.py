"""Attached files that lie on the web: fetched over https from hosts that a setting names, and from nowhere else.

Only public addresses are asked, and the one that was looked at is the one that is asked, so that a name can't lead
elsewhere in between. No redirect is followed; nothing is sent but the address of the file: no cookie, no login, no
proxy of the environment. What comes is bounded in bytes and in time, and is what its content says it is.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from otzyv.schemas.errors import EnvironmentFault
from otzyv.tasks.sources.attachments import LIMITS, Attachment, take, without
from otzyv.tasks.sources.values import AttachmentRef

PORT = 443
TRIES = 3
PAUSE = 1.0
"""Seconds before a file is asked for again, doubled each time: sooner than the whole source is read once more."""
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/3",
            "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
        ),
    )
)  # fmt: skip
"""IANA's special-purpose registries (RFC 6890), and what carries an IPv4 address in an IPv6 one."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is routed to everybody: what maps, translates or embeds IPv4 lies outside of it, or in the above."""


class FetchFailed(EnvironmentFault, OSError):
    """A host that may be asked did not answer as a host does: it may the next time."""


Resolve = Callable[[str], Sequence[str]]
"""The addresses of a host's name. Raises OSError."""
Connect = Callable[[str, int, float], socket.socket]
"""A connection to an address and a port, within so many seconds. Raises OSError."""


def resolve(host: str) -> list[str]:
    """The addresses of a host, as this machine resolves names."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)))


def connect(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), seconds)


def is_public(address: str) -> bool:
    """Whether everybody reaches the same machine under it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found not in _UNICAST:
        return False
    return not any(found in network for network in _NOT_PUBLIC)


@dataclass(frozen=True)
class Web:
    """What may be fetched, and how. ``hosts``: names as in a URL, each exactly; none: nothing is fetched.

    ``seconds``: for connecting, and for each answer of the host; ``longest``: for a file as a whole.
    """

    hosts: frozenset[str] = frozenset()
    seconds: float = 15.0
    longest: float = 120.0
    tries: int = TRIES
    pause: float = PAUSE
    resolve: Resolve = resolve
    connect: Connect = connect
    trust: Callable[[], ssl.SSLContext] = field(default=ssl.create_default_context)

    def takes(self, uri: str) -> bool:
        """Whether this is a URL that may be looked at here, or is refused here."""
        return uri.strip()[:8].lower() == "https://"

    def fetch(self, ref: AttachmentRef, into: BinaryIO) -> Attachment:
        """Read the file that ``ref`` names into ``into``, which is empty, and holds all of it only if the status is ok.

        Raises FetchFailed where the host can't be reached, does not prove its name, or does not answer in time.
        """
        try:
            host, target = self._place(ref.uri.strip())
            for attempt in range(self.tries):
                try:
                    return self._ask(host, target, ref, into)
                except (OSError, http.client.HTTPException) as error:
                    if attempt == self.tries - 1 or isinstance(error, ssl.SSLCertVerificationError):
                        raise FetchFailed(_told(host, error)) from error
                into.seek(0)
                into.truncate()
                time.sleep(self.pause * 2**attempt)
        except _Refused as refused:
            return without(ref.kind, str(refused))
        raise AssertionError("tried at least once")

    def _place(self, url: str) -> tuple[str, str]:
        """The host and what to ask it for. Raises _Refused."""
        if not self.hosts or re.search(r"[\s\\\x00-\x1f\x7f]", url):
            raise _Refused("a URL")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode().lower(), parts.port
        except (ValueError, UnicodeError):
            raise _Refused("a URL") from None
        if parts.username is not None or parts.password is not None:
            raise _Refused("a URL")
        if host not in self.hosts or port not in (None, PORT):
            raise _Refused("host not allowed")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        return host, f"{path}?{query}" if query else path

    def _ask(self, host: str, target: str, ref: AttachmentRef, into: BinaryIO) -> Attachment:
        addresses = self.resolve(host)
        if not addresses:
            raise OSError("its name has no address")
        if not all(map(is_public, addresses)):  # a name that leads to both is not asked either
            raise _Refused("a private address")
        with self._connected(host, addresses) as (sock, alive):
            connection = http.client.HTTPConnection(host, PORT)
            connection.default_port = PORT  # so that the header Host names the host alone
            connection.sock = sock
            connection.request(
                "GET", target, headers={"User-Agent": "otzyv", "Accept": "image/*, audio/*, */*", "Connection": "close"}
            )
            with connection.getresponse() as answer:
                if answer.status in _PASSING:
                    raise OSError(f"it answered {answer.status}")
                if answer.status != http.HTTPStatus.OK:
                    raise _Refused(_reason(answer.status))
                if (answer.length or 0) > max(LIMITS.values()):
                    raise _Refused("too large")
                found = take(ref, answer, into)
                if not alive():
                    raise TimeoutError(f"the file did not come within {self.longest:g} seconds")
                if found.status == "ok" and answer.length:
                    raise OSError(f"{answer.length} bytes of the file did not come")
                return found

    @contextlib.contextmanager
    def _connected(self, host: str, addresses: Sequence[str]) -> Iterator[tuple[ssl.SSLSocket, Callable[[], bool]]]:
        """A connection to the host itself, which is cut when its time is over; and whether it was not."""
        raw = self._reached(addresses)
        late = threading.Event()
        with contextlib.ExitStack() as stack:
            try:
                # The handshake is done below: it, too, is cut when the time is over.
                sock = self.trust().wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
            except BaseException:
                raw.close()
                raise
            stack.enter_context(sock)

            def cut() -> None:
                late.set()
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

            timer = threading.Timer(self.longest, cut)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
            try:
                sock.do_handshake()
                yield sock, lambda: not late.is_set()
            except (OSError, http.client.HTTPException) as error:
                if late.is_set():
                    raise TimeoutError(f"the file did not come within {self.longest:g} seconds") from error
                raise

    def _reached(self, addresses: Sequence[str]) -> socket.socket:
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return self._opened(address)
        return self._opened(addresses[-1])

    def _opened(self, address: str) -> socket.socket:
        sock = self.connect(address, PORT, self.seconds)
        sock.settimeout(self.seconds)
        return sock


class _Refused(Exception):
    """Why nothing is taken: one of ``ATTACHMENT_REASONS``."""


def _reason(status: int) -> str:
    if 300 <= status < 400:
        return "a redirect"
    return "not found" if status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE) else "refused by the host"


def _told(host: str, error: Exception) -> str:
    """Names the host, never the URL: it may hold a key, or somebody's name."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"it does not prove that it is {host} ({error.verify_message})"
    elif isinstance(error, OSError):
        said = error.strerror or str(error)
    else:
        said = f"its answer is no HTTP ({type(error).__name__})"
    return (
        f"{host}: an attached file could not be fetched: {said}. Run again when it answers, or take {host} out of the "
        "setting attachment_hosts"
    )


def host_name(text: str) -> str:
    """A host as ``hosts`` has it. Raises ValueError for what is no host's name."""
    try:
        name = text.strip().lower().encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise ValueError(f"{text!r} is no host's name; write it as cdn.example.ru, without https://, port or path")
    return name
