"""``otzyv serve``: schedules are planned, backfills run on its workers, and a daily run waits for one day at most."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.lake import Lake
from tasks.lake.constants import Constants, key_check
from tests.tasks.reviews import bring

KEY = "a key made up for tests"
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(4)]


@dataclass
class Served:
    """A lake that is served on loopback with one slot."""

    lake: Lake
    url: str
    told: Path
    """What it said on standard error."""

    def post(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.url}/api/{path}", json=body, timeout=120).raise_for_status().json()

    def start(self, deployment: str, **parameters: Any) -> str:
        named = httpx.get(f"{self.url}/api/deployments/name/{deployment}", timeout=120).raise_for_status().json()
        run = self.post(
            f"deployments/{named['id']}/create_flow_run", parameters=parameters, state={"type": "SCHEDULED"}
        )
        return str(run["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/api/flow_runs/{run_id}", timeout=120).raise_for_status().json()
        return found

    def ended(self, run_id: str, seconds: int = 180) -> dict[str, Any]:
        for _ in range(seconds * 2):
            run = self.run(run_id)
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return run
            time.sleep(0.5)
        raise AssertionError(f"the run is still {run['state_name']}")

    def days_made(self) -> list[dict[str, Any]]:
        runs = self.post("flow_runs/filter", flows={"name": {"any_": ["features"]}}, sort="START_TIME_ASC")
        return [run for run in runs if run["start_time"]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    lake = Lake.create(folder / "lake", Constants(author_key_check=key_check(KEY)))
    bring(lake, {day: {f"{day}-{n}": f"хороший курс {n}" for n in range(3)} for day in DAYS})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTZYV_", "PREFECT_"))}
    told = folder / "told.txt"
    with told.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--lake", lake.uri, "--port", str(port)],
            env={**environment, "PREFECT_HOME": str(folder / "prefect"), "OTZYV_AUTHOR_KEY": KEY},
            cwd=Path(__file__).parents[2],
            stderr=stderr,
        )
    while "serving" not in told.read_text():
        assert process.poll() is None, told.read_text()
        time.sleep(0.5)
    yield Served(lake, f"http://127.0.0.1:{port}", told)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert told.read_text().endswith("stopped\n")


def test_every_deployment_explains_itself_and_its_form(served: Served) -> None:
    found = {one["name"]: one for one in served.post("deployments/filter")}
    assert set(found) >= {"features", "backfill", "quality", "maintain", "fit", "adapt"}
    assert all(one["description"] for one in found.values())
    assert {name for name, one in found.items() if one["schedules"]} == {"features", "maintain"}
    for name in ("features", "fit", "adapt", "quality", "maintain"):
        fields = found[name]["parameter_openapi_schema"]["properties"]
        assert all(field.get("description") for field in fields.values()), name


def test_the_next_daily_run_is_planned(served: Served) -> None:
    runs = served.post("flow_runs/filter", deployments={"name": {"any_": ["features"]}})
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}


def test_a_daily_run_goes_before_the_days_of_a_backfill_and_both_end_well(served: Served) -> None:
    request = {
        "extractors": ["sentiment_mini"],
        "order": "oldest first",
        "from_day": "2026-03-01",
        "to_day": "2026-03-03",
    }
    backfill = served.start("backfill/backfill", request=request)
    while not served.days_made():
        time.sleep(0.5)
    daily = served.start("daily/features", day=str(DAYS[3]), catch_up=1)
    for run_id in (daily, backfill):
        ended = served.ended(run_id)
        assert ended["state_type"] == "COMPLETED", f"{ended['state']['message']}\n{served.told.read_text()}"
    order = [run["name"] for run in served.days_made()]
    assert sorted(order) == [f"features {day}" for day in DAYS]
    assert order.index(f"features {DAYS[3]}") in (1, 2)  # after the running day, which may end as the daily run comes
    assert sorted(served.lake.releases()) == DAYS
    assert served.run(backfill)["parameters"]["request"] == request  # as the form gave it
