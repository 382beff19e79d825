"""Prefect's server may die under a run: the run waits for it, ends well, and does no step twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from otzyv.schemas.tables import RUNS
from otzyv.tasks.lake import Lake
from tests.faults.counts import share, turns
from tests.faults.test_worker import DAYS, ORDERS, RUN, processes
from tests.flows.command import review
from tests.flows.served import serving

HOME = Path(__file__).parents[2]
DOWN = 10.0
"""Seconds without a server."""


def server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Prefect's server on loopback, once it answers."""
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
    }
    command = [sys.executable, "-m", "prefect", "server", "start"]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=silent, stderr=silent)
    server_answers(f"http://127.0.0.1:{port}")
    return process


def server_answers(url: str) -> None:
    """Wait until it does."""
    for _ in range(600):
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/api/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise AssertionError("the server does not answer")


@pytest.mark.skipif(not share(), reason="takes a minute: make torture")
def test_a_run_survives_the_death_of_the_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for turn in turns("Prefect's server killed for 10 s in a run", 1, 3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        days = [f"2026-03-{day:02}" for day in range(1, 13)]
        lines = [json.dumps(review(f"{day}/{n}", day=day)) for day in days for n in range(20)]
        (folder / "reviews.jsonl").write_text("\n".join(lines))
        process = server(folder / "prefect", port)
        command = [
            sys.executable,
            "-m",
            "otzyv",
            "run",
            "--source",
            str(folder / "reviews.jsonl"),
            "--json",
        ]
        command += ["--lake", str(folder / "lake"), "--extractors", "sentiment_mini"]
        environment = {**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "OTZYV_AUTHOR_KEY": "a test's"}
        try:
            run = subprocess.Popen(command, cwd=HOME, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while not (folder / "lake" / "releases").exists():
                assert run.poll() is None, run.communicate()
                time.sleep(0.05)
            process.kill()
            process.wait()
            time.sleep(DOWN)
            assert run.poll() is None, "the run did not need the server"
            process = server(folder / "prefect", port)
            said, wrong = run.communicate(timeout=300)
        finally:
            process.terminate()
            process.wait(30)
        assert run.returncode == 0, wrong
        assert json.loads(said)["tables"]["sentiment_mini"]["rows"] == 20 * len(days)
        lake = Lake(folder / "lake")
        steps = Counter((row["table"], row["day"], row["state"]) for row in lake.read(RUNS).to_pylist())
        assert len(steps) == 2 * len(days)
        assert {state for _, _, state in steps} == {"published"}
        assert set(steps.values()) == {1}, "a step ran twice"
        assert len(lake.releases()) == len(days)


@pytest.mark.skipif(not share(), reason="takes a minute: make torture")
def test_served_by_a_server_that_dies_a_run_ends_well_on_the_next_one(tmp_path: Path) -> None:
    for turn in turns("the server of `otzyv serve` killed in a run", 1, 3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with serving(folder, DAYS) as served:
            run = served.start(RUN, orders=ORDERS)
            while not served.days_made(DAYS):
                time.sleep(0.1)
            (theirs,) = (pid for pid, said in processes(served).items() if "otzyv.flows.server.guard" in said)
            os.kill(theirs, signal.SIGKILL)
            while "started again" not in served.told.read_text():
                time.sleep(0.5)
            server_answers(served.url)
            served.completed(run)
            steps = Counter((row["table"], row["day"]) for row in served.lake.read(RUNS).to_pylist())
            assert steps == {(table, day): 1 for table in ("clean_text", "sentiment_mini") for day in DAYS}
            assert list(served.lake.releases()) == DAYS
