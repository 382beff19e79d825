"""A server's process, what it last said on standard error, and whether it answers."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from otzyv.schemas.errors import EnvironmentFault

KEPT, MOST = 60, 300
"""How many lines are kept, in memory alone, and how many letters of one are told."""
_ERROR = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt)\b")
_SECRET = re.compile("AUTH|PASSWORD|SECRET|TOKEN|KEY|URL")
"""In the names of variables that may hold what no text is to tell."""


class NoServer(EnvironmentFault):
    """Prefect's server can't be used: the one that PREFECT_API_URL names, or its own."""


class ServerProcess(subprocess.Popen[bytes]):
    """Its last lines are read as they come, so that it never waits for a reader, and none is written to a disk."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], **options: Any) -> None:
        super().__init__(command, env=environment, stderr=subprocess.PIPE, **options)
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._secrets = [*_secrets(environment)]
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.stderr is not None
        with suppress(OSError, ValueError), self.stderr as said:
            for line in said:
                self._lines.append(line.decode(errors="replace").strip())

    @property
    def ended(self) -> str:
        """How it has ended and why, as far as it said so; no secret of its environment is in it."""
        self._reading.join(1)
        lines = [line for line in self._lines if line]
        why = next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1] if lines else "")
        for secret in self._secrets:
            why = why.replace(secret, "***")
        why = re.sub(r"://[^/@\s]+@", "://", why)
        return f"exit status {self.returncode}{': ' if why else ''}{why[:MOST]}"


def _secrets(environment: Mapping[str, str]) -> set[str]:
    found = set()
    for name, value in environment.items():
        if _SECRET.search(name.upper()):
            _, _, password = value.rpartition(":")
            found |= {each for each in (value, password) if len(each) > 3}
    return found


def why_no_answer(url: str, seconds: float, process: ServerProcess | None) -> str | None:
    """Wait until a server answers at a URL of Prefect's API; why it does not, None once it does.

    ``process``: that of the server, where it is ours; once it has ended, nothing more is waited for.
    """
    import httpx  # which a command that needs no server does without

    with httpx.Client(timeout=2) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if process and process.poll() is not None:
                return f"Prefect's server ended at once ({process.ended})"
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return None
            time.sleep(0.1)
    return f"Prefect's server did not answer at {url} within {seconds:g} s"
