"""A run that no server was started for starts Prefect's own, which keeps on record what ran."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.flows.command import Otzyv, review


def test_a_server_that_can_keep_no_record_is_told_of_and_else_every_task_is_on_record(
    otzyv: Otzyv, tmp_path: Path
) -> None:
    days = ("2026-03-01", "2026-03-02")
    otzyv.write("reviews.jsonl", [review(day, day=day) for day in days])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
    where = ("--source", str(otzyv.source), "--lake", str(otzyv.lake), "--extractors", "sentiment_mini")
    homeless = subprocess.run(
        [sys.executable, "-m", "otzyv", "run", *where],
        env=environment | {"PREFECT_HOME": str(otzyv.source / "reviews.jsonl" / "prefect")},
        capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert homeless.returncode == 1
    said = homeless.stderr.strip()
    assert "\n" not in said
    assert said.startswith("Error: Prefect can't keep its database in ")
    assert said.endswith("(Not a directory): set PREFECT_HOME elsewhere")
    subprocess.run(
        [sys.executable, "-m", "otzyv", "run", *where],
        env=environment,
        capture_output=True,
        check=True,
    )
    files = [*(tmp_path / "prefect").glob("prefect.db*")]
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in files} == {0}, "made for nobody else to read"
    with sqlite3.connect(tmp_path / "prefect" / "prefect.db") as server:
        ran = Counter(server.execute("SELECT name, state_type FROM task_run").fetchall())
    tasks = ("clean_text", "sentiment_mini", "record", "release", "artifact")
    expected = {(f"{task} {' to '.join(days)}", "COMPLETED"): 1 for task in tasks}
    assert expected.items() <= ran.items()
    assert {state for _, state in ran} == {"COMPLETED"}


STARTED = """
import os, sys, time
from otzyv.flows.server import guard
print(guard.spawn(guard.listen(0), {**os.environ, guard.ORIGINS: "http://127.0.0.1"}).pid, flush=True)
time.sleep(600)
"""


def test_a_server_ends_with_the_command_that_started_it_also_when_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", STARTED], env=environment, stdout=subprocess.PIPE) as command:
        assert command.stdout
        server = Path("/proc", command.stdout.readline().decode().strip())
        command.kill()
    assert server.exists()
    for _ in range(100):
        if not server.exists():
            break
        time.sleep(0.1)
    assert not server.exists()
