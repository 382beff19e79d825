"""A run killed together with its worker is told to have crashed within two minutes, and the next one repairs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.faults.counts import detail, share, turns
from tests.flows.served import Served, serving

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(3)]
ORDERS = [{"day": str(day), "extractors": ["sentiment_mini"]} for day in DAYS]
RUN = "backfill days/backfill days"
LONGEST = 120.0
"""Seconds until a dead run is known to be dead."""


def processes(served: Served) -> dict[int, str]:
    """``otzyv serve``, its server and its runs: process id -> command line."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in lines.splitlines()]
    found = {served.process.pid: "serve"}
    for _ in range(4):  # generations
        found |= {int(pid): said for pid, parent, said in rows if int(parent) in found}
    return found


def kill(served: Served, *, server: bool) -> int:
    """kill -9 for all of it, or all but the server; returns the server's process id."""
    ours = processes(served)
    (theirs,) = (pid for pid, said in ours.items() if "otzyv.flows.server.guard" in said)
    for pid in ours.keys() - ({theirs} if not server else set()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    served.process.wait()
    return theirs


def ended(served: Served, run: str, since: float) -> float:
    """Seconds until the run has crashed, and every run within it."""
    names = [f"features {day}" for day in DAYS]
    while time.monotonic() - since < LONGEST:
        within = served.post("flow_runs/filter", flow_runs={"name": {"any_": names}})
        if {one["state_type"] for one in [served.run(run), *within]} <= {"CRASHED", "COMPLETED"}:
            assert served.run(run)["state_type"] == "CRASHED"
            return time.monotonic() - since
        time.sleep(0.5)
    raise AssertionError(f"the run is still {served.run(run)['state_name']}")


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
def test_killed_with_its_worker_a_run_crashes_within_two_minutes_and_the_next_one_repairs(tmp_path: Path) -> None:
    took = []
    for turn in turns("kill -9 of the worker and its run", 3, 3):
        moment, alone = ("running", "being started", "running")[turn % 3], turn % 3 != 2
        folder = tmp_path / str(turn)
        folder.mkdir()
        with serving(folder, DAYS) as served:
            run = served.start(RUN, orders=ORDERS)
            if moment == "running":
                while not served.days_made(DAYS):
                    time.sleep(0.1)
            while served.run(run)["state_type"] != ("RUNNING" if moment == "running" else "PENDING"):
                time.sleep(0.05)
            server = kill(served, server=not alone)
            since = time.monotonic()
            if alone:
                took.append(ended(served, run, since))
        with serving(folder, DAYS, **({"PREFECT_API_URL": f"{served.url}/api"} if alone else {})) as again:
            if not alone:
                took.append(ended(again, run, since))
            again.completed(again.start(RUN, orders=ORDERS))
            assert list(again.lake.releases()) == DAYS
            rows = again.lake.frame(DAYS, ["sentiment_mini"])
            assert len(rows) == rows["review_id"].nunique() == 3 * len(DAYS)
        if alone:
            os.kill(server, signal.SIGTERM)
        detail(f"crashed after {', '.join(f'{seconds:.0f}' for seconds in took)} s")
