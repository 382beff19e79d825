"""The login of Prefect's server: what `otzyv serve` asks for, and commands beside it answer with."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from otzyv.flows.server import kept

SERVER, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
"""What Prefect's server asks for, and what its clients say: other users see a process's arguments, not these."""


def fresh() -> str:
    """A new login as ``user:password``, 256 bits that nobody guesses."""
    return f"otzyv:{secrets.token_urlsafe(32)}"


def path(port: int) -> Path:
    """Where the login of the server on a port is kept."""
    return kept.folder() / f"login-{port}"


def of_port(port: int) -> tuple[str, bool]:
    """The login kept for a port, and whether it is a new one. Raises OSError where none can be kept.

    One that others could read is none any more.
    """
    file = path(port)
    with suppress(FileNotFoundError):
        if file.stat().st_mode & 0o077 or not file.read_text().strip():
            file.unlink()
    new = not file.exists()
    return kept.made_once(file, fresh), new


def find() -> None:
    """Let Prefect's clients say the login kept for the server of this machine that PREFECT_API_URL names.

    Must come before Prefect is imported. A login that the environment holds stays, and whoever else listens on a port
    that was served once is told none.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url or os.environ.get(CLIENT) or os.environ.get("PREFECT_API_KEY"):
        return
    if kept_there := of_server(url):
        os.environ[CLIENT] = kept_there


def of_server(url: str) -> str | None:
    """The login kept for a server of this machine, if it is this user's that listens there."""
    with suppress(ValueError, OSError, RuntimeError):  # of no port, or of nobody's home
        parts = urlsplit(url)
        if parts.hostname == "127.0.0.1" and (file := path(parts.port or 80)).exists() and _ours(parts.port or 80):
            return file.read_text().strip()
    return None


def _ours(port: int) -> bool:
    """Whether all who listen on a port are this user's processes; true where the system has no such list."""
    tables = [table for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if table.exists()]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    listening = {int(row[7]) for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    return not tables or listening == {os.geteuid()}
