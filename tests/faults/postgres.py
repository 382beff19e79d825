"""PostgreSQL for a Prefect of tests: on loopback, in a folder of its own, as a user who is not root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def binary(name: str) -> str:
    found = shutil.which(name)
    assert found, f"no {name} on the path: install PostgreSQL, with its contributed extensions (Debian: postgresql)"
    return found


@contextmanager
def postgres(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a new database, as SQLAlchemy writes it. The server's process is told the environment."""
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to be run by root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    if user:
        shutil.chown(folder, user)
    data = str(folder / "data")
    try:
        made = [binary("initdb"), "-D", data, "-U", "prefect", "-A", "trust", "-E", "UTF8", "--locale", "C"]
        subprocess.run(made, user=user, check=True, stdout=subprocess.DEVNULL)
        command = [binary("postgres"), "-D", data, "-h", "127.0.0.1", "-p", port, "-k", str(folder), "-c", "fsync=off"]
        with subprocess.Popen(command, user=user, env=os.environ | environment, stderr=subprocess.DEVNULL) as server:
            ready = [binary("pg_isready"), "-h", "127.0.0.1", "-p", port]
            while subprocess.run(ready, check=False, stdout=subprocess.DEVNULL).returncode:
                assert server.poll() is None
                time.sleep(0.1)
            try:
                yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
            finally:
                server.send_signal(signal.SIGINT)  # without waiting for those who are connected
    finally:
        shutil.rmtree(folder)
