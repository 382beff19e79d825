"""A run that has lost its process has ended in what Prefect shows, and the next one repairs."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest

from tests.faults.counts import detail, share, turns
from tests.flows.served import Served, serving

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(3)]
ORDERS = [{"day": str(day), "extractors": ["sentiment_mini"]} for day in DAYS]
RUN = "backfill days/backfill days"
LONGEST = 60.0
"""Seconds until a dead run is known to be dead."""


def processes(served: Served) -> dict[int, str]:
    """``otzyv serve``, its server and its runs: process id -> command line."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in lines.splitlines()]
    found = {served.process.pid: "serve"}
    for _ in range(4):  # generations
        found |= {int(pid): said for pid, parent, said in rows if int(parent) in found}
    return found


def stop(served: Served, how: str) -> None:
    """End ``serve``: by a signal, or with all its processes at once, as a machine that loses its power does."""
    if how != "kill -9 of all":
        served.process.send_signal(signal.Signals[how])
        served.process.wait(60)
        return
    for pid in processes(served):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    served.process.wait()


def away(folder: Path, time_away: timedelta) -> None:
    """Move all times that Prefect has recorded back: its database is as old as if nobody had served for so long."""
    back = f"-{time_away.total_seconds():.0f} seconds"
    with closing(sqlite3.connect(folder / "prefect" / "prefect.db")) as database, database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if kind in ("TIMESTAMP", "DATETIME"):
                    moved = f"strftime('%Y-%m-%d %H:%M:%f', \"{column}\", ?)"
                    database.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = {moved}', [back])
        there = "json_extract(state_details, '$.scheduled_time')"
        moved = f"json_set(state_details, '$.scheduled_time', strftime('%Y-%m-%dT%H:%M:%fZ', {there}, ?))"
        database.execute(f"UPDATE flow_run_state SET state_details = {moved} WHERE {there} IS NOT NULL", [back])


def ended(served: Served, run: str, since: float, how: str) -> float:
    """Seconds until the run has ended so, and every run within it has ended."""
    names = [f"features {day}" for day in DAYS]
    while time.monotonic() - since < LONGEST:
        within = served.post("flow_runs/filter", flow_runs={"name": {"any_": names}})
        if {one["state_type"] for one in [served.run(run), *within]} <= {how, "COMPLETED"}:
            assert served.run(run)["state_type"] == how
            return time.monotonic() - since
        time.sleep(0.5)
    raise AssertionError(f"the run is still {served.run(run)['state_name']}")


WAYS = ("SIGINT", "SIGTERM", "kill -9 of all")
SPANS = (timedelta(days=13), timedelta(days=1), timedelta(minutes=3), timedelta(seconds=3))


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
def test_after_serve_was_stopped_in_a_run_and_away_the_run_has_ended_and_the_next_one_repairs(tmp_path: Path) -> None:
    cases = list(product(SPANS, WAYS))  # a share of them has all ways
    took = []
    for turn in turns("`otzyv serve` stopped in a run and away for seconds to days", len(cases), len(cases)):
        time_away, how = cases[turn]
        moment = "PENDING" if turn % 4 == 2 else "RUNNING"
        folder = tmp_path / str(turn)
        folder.mkdir()
        with serving(folder, DAYS) as served:
            run = served.start(RUN, orders=ORDERS * 20, again=True)
            while served.run(run)["state_type"] != moment:
                time.sleep(0.05)
            stop(served, how)
        away(folder, time_away)
        with serving(folder, DAYS) as again:
            since = time.monotonic()
            took.append(ended(again, run, since, "CRASHED" if how == "kill -9 of all" else "CANCELLED"))
            again.completed(again.start(RUN, orders=ORDERS))
            assert list(again.lake.releases()) == DAYS
            rows = again.lake.frame(DAYS, ["sentiment_mini"])
            assert len(rows) == rows["review_id"].nunique() == 3 * len(DAYS)
        detail(f"ended at most {max(took):.0f} s after the next start")


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
def test_a_run_that_is_killed_beside_its_worker_crashes_at_once(tmp_path: Path) -> None:
    for turn in turns("kill -9 of a run alone", 1, 3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with serving(folder, DAYS) as served:
            run = served.start(RUN, orders=ORDERS * 20, again=True)
            while not served.days_made(DAYS):
                time.sleep(0.1)
            (pid,) = (pid for pid, said in processes(served).items() if "prefect.engine" in said)
            os.kill(pid, signal.SIGKILL)
            ended(served, run, time.monotonic(), "CRASHED")
