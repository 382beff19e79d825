"""A server that ends at once says why, and none of the secrets that it was given."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from otzyv.flows.server.process import KEPT, ServerProcess, why_no_answer
from tests.flows.command import Otzyv
from tests.tasks.alerts.heard import closed_port

SECRETS = {
    "PREFECT_SERVER_API_AUTH_STRING": "otzyv:geheim",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://user:geheim@db.example/prefect",
}


def ended(code: str) -> str:
    url = f"http://127.0.0.1:{closed_port()}/api"
    clock = time.monotonic()
    process = ServerProcess([sys.executable, "-c", code], {**os.environ, **SECRETS}, stdout=subprocess.DEVNULL)
    why = why_no_answer(url, 60, process)
    assert time.monotonic() - clock < 30, "it is not waited for"
    assert why is not None
    return why


def test_the_error_that_ended_it_is_told_without_secrets() -> None:
    code = (
        "import os, sys\n"
        "try:\n"
        "    raise OSError(f'no table {os.environ[\"PREFECT_SERVER_API_AUTH_STRING\"]} at postgresql://user:pass@db/x')\n"
        "finally:\n"
        "    sys.excepthook, hook = (lambda *each: (hook(*each), print('(more at https://x)', file=sys.stderr))), "
        "sys.excepthook\n"
    )
    why = ended(code)
    assert why == "Prefect's server ended at once (exit status 1: OSError: no table *** at postgresql://db/x)"


def test_one_that_says_much_or_nothing_is_told_in_a_line() -> None:
    assert ended("raise SystemExit(3)") == "Prefect's server ended at once (exit status 3)"
    assert ended(
        f"import sys\nfor n in range({KEPT} * 2000): print('x' * 90, file=sys.stderr)\nsys.exit('the end')"
    ) == ("Prefect's server ended at once (exit status 1: the end)")


def test_a_run_whose_own_server_can_not_start_says_why_at_once(otzyv: Otzyv, tmp_path: Path) -> None:
    otzyv.write("reviews.jsonl", [])
    database = tmp_path / "no.db"
    database.write_bytes(b"this is no database of SQLite" * 100)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
    environment |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}"}
    where = ("--source", str(otzyv.source), "--lake", str(otzyv.lake), "--allow-empty")
    done = subprocess.run(
        [sys.executable, "-m", "otzyv", "run", *where],
        env=environment, capture_output=True, check=False, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Prefect's server ended at once (exit status " in done.stderr
    assert "file is not a database" in done.stderr
