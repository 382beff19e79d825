"""Whatever people do in Prefect's pages, and whenever, ``otzyv serve`` goes on and days are made in the end."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.counts import detail, share, turns
from tests.flows.served import Served, serving

DAYS = [date(2026, 3, 1) + timedelta(n) for n in range(6)]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
OVER = "2100-01-01T00:00:00Z"
MISSED = ("prefect.exceptions.ObjectNotFound: ", "prefect.exceptions.PrefectHTTPStatusError: Client error '404")
MOST = 3
"""How many backfills are begun at once."""


def set_state(served: Served, run: str, force: bool = False, **state: Any) -> None:
    served.ask("POST", f"flow_runs/{run}/set_state", state=state, force=force)


def pause(served: Served, run: str) -> None:
    waiting = {"pause_timeout": OVER, "pause_reschedule": True}
    set_state(served, run, force=True, type="PAUSED", name="Suspended", state_details=waiting)


ACTS: dict[str, Callable[[Served, str], Any]] = {
    "pause": pause,
    "pause by a program": lambda served, run: set_state(served, run, type="PAUSED", name="Paused"),
    "resume": lambda served, run: served.ask("POST", f"flow_runs/{run}/resume"),
    "cancel": lambda served, run: set_state(served, run, type="CANCELLING"),
    "cancel at once": lambda served, run: set_state(served, run, force=True, type="CANCELLED"),
    "call crashed": lambda served, run: set_state(served, run, force=True, type="CRASHED"),
    "retry": lambda served, run: set_state(served, run, type="SCHEDULED", name="AwaitingRetry"),
    "delete": lambda served, run: served.ask("DELETE", f"flow_runs/{run}"),
    "begin another": lambda served, _: served.start("backfill/backfill", request={"extractors": ["sentiment_mini"]}),
}


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
def test_serve_outlives_its_operators(tmp_path: Path) -> None:
    chance, done = random.Random(0), Counter[str]()
    with serving(tmp_path, DAYS) as served:
        ours = [served.deployment(name)["id"] for name in ("backfill/backfill", "backfill days/backfill days")]

        def runs(*states: str) -> list[dict[str, Any]]:
            wanted = {"state": {"type": {"any_": list(states)}}, "deployment_id": {"any_": ours}}
            listed: list[dict[str, Any]] = served.post(
                "flow_runs/filter", flow_runs=wanted, sort="EXPECTED_START_TIME_DESC"
            )
            return listed

        for _ in turns("acts of operators on runs of `otzyv serve`", 300, 300):
            going = runs("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED")
            if not going:
                request = {"extractors": ["sentiment_mini"], "what": "again", "days_at_once": chance.choice((1, 2))}
                served.start("backfill/backfill", request=request)
                continue
            act = chance.choice([act for act in ACTS if len(going) < MOST or act != "begin another"])
            run = chance.choice(going + runs(*ENDED)[:3] if act in ("retry", "delete") else going)
            ACTS[act](served, run["id"])
            done[act] += 1
            assert served.process.poll() is None, served.told.read_text()
            time.sleep(chance.choice((0, 0.2, 1, 4)) * chance.random())

        for run in runs("PAUSED"):
            set_state(served, run["id"], type="CANCELLING")
        began = time.monotonic()
        while left := runs("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED"):
            names = [(run["name"], run["state_name"]) for run in left]
            assert time.monotonic() - began < 600, f"{names}\n{served.told.read_text()}"
            time.sleep(1)
        last = served.start("backfill/backfill", request={"extractors": ["sentiment_mini"], "what": "again"})
        served.completed(last)
        assert list(served.lake.releases()) == DAYS
        rows = served.lake.frame(DAYS, ["sentiment_mini"])
        assert len(rows) == rows["review_id"].nunique() == 3 * len(DAYS)
        told = served.told.read_text()
        detail(", ".join(f"{act} {times}" for act, times in done.most_common()))
    causes = set(re.findall(r"^(?:[a-z_]+\.)+[A-Z]\w+: .*", told, re.MULTILINE))
    assert all(cause.startswith(MISSED) for cause in causes), f"nothing but runs that were deleted is missed: {causes}"
