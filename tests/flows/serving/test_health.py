"""``/health``: what an operator's monitor asks, and what is wrong where it answers 503."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from otzyv.flows.server.health import DAILY, Health, late
from otzyv.flows.server.pools import TAG
from otzyv.flows.server.serving_now import serving_now
from tests.flows.command import command
from tests.flows.served import Served

NOW = datetime.now(UTC)
WELL: dict[str, Any] = {
    "workers": [{"name": "otzyv here", "status": "ONLINE"}],
    "paused": False,
    "COMPLETED": NOW - timedelta(hours=3),
    "FAILED": None,
    "SCHEDULED": NOW + timedelta(hours=21),
}


def told(**state: Any) -> dict[str, Any]:
    """What is told of a lake whose runs are as said, and else well."""
    now = WELL | state

    async def ask(path: str, body: dict[str, Any]) -> Any:
        if path == "deployments/filter":
            assert body["deployments"]["tags"]["all_"] == [TAG]
            schedules = [{"active": True}]
            daily = {"id": "1", "entrypoint": DAILY, "parameters": {"lake": "l"}, "work_pool_name": "otzyv-l"}
            other = {"entrypoint": "another", "parameters": {"lake": "l"}}
            return [] if state.get("none") else [daily | {"paused": now["paused"], "schedules": schedules}, other]
        if path == "work_pools/otzyv-l/workers/filter":
            return now["workers"]
        assert body["deployments"] == {"id": {"any_": ["1"]}}
        runs = []
        for kind in body["flow_runs"]["state"]["type"]["any_"]:
            if when := now.get(kind):
                said = {"state_type": kind, "state_name": kind.title(), "name": "daily l", "end_time": when.isoformat()}
                runs.append(said | {"expected_start_time": when.isoformat()})
        return sorted(runs, key=lambda run: str(run["end_time"]), reverse=body["sort"] == "END_TIME_DESC")[:1]

    return asyncio.run(Health(ask, TAG).told())


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        ({}, None),
        ({"COMPLETED": None}, None),
        ({"FAILED": NOW - timedelta(hours=30)}, None),
        ({"paused": True, "SCHEDULED": None}, None),
        ({"SCHEDULED": NOW - late() / 2}, None),
        ({"FAILED": NOW - timedelta(hours=1)}, "the last daily run has ended as Failed: daily l"),
        ({"SCHEDULED": None}, "no daily run is planned"),
        ({"SCHEDULED": NOW - 2 * late()}, "has not begun"),
        ({"workers": []}, "no worker is at work"),
        ({"workers": [{"name": "otzyv here", "status": "OFFLINE"}]}, "no worker is at work"),
    ],
)
def test_what_is_wrong_with_a_lake_is_named(state: dict[str, Any], wrong: str | None) -> None:
    found = told(**state)
    lake = found["lakes"]["l"]
    assert found["ok"] == (wrong is None)
    assert [wrong is not None and wrong in each for each in lake["wrong"]] == [True] * (wrong is not None)
    success = (WELL | state)["COMPLETED"]
    assert lake["last_success"] == (success.isoformat() if success else None)
    assert lake["paused"] == state.get("paused", False)


def test_a_daily_run_is_late_when_alerts_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {"SCHEDULED": NOW - timedelta(minutes=40)}
    assert told(**begun)["ok"]
    monkeypatch.setenv("OTZYV_ALERTS", '{"late_minutes": 30}')
    assert not told(**begun)["ok"]


def test_without_any_lake_nothing_is_well() -> None:
    assert told(none=True) == {"ok": False, "server": "ok", "lakes": {}}


def test_otzyv_status_tells_the_same_of_the_served_lake(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(120):  # until its workers have reported
        if served.client.get(f"{served.url}/health").status_code == 200:
            break
        time.sleep(0.5)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(served.told.parent / "prefect"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(served.told.parent / "config"))
    found = serving_now(served.lake.uri)
    lake = served.client.get(f"{served.url}/health").json()["lakes"][served.lake.uri]
    assert (found.url, found.unknown, found.served) == (f"{served.url}/api", None, True)
    assert (found.next_run, list(found.workers), list(found.wrong)) == (lake["next_run"], lake["workers"], [])
    said = command("status", "--lake", served.lake.uri).stdout
    assert f"next daily run: {lake['next_run'][:10]}" in said
    assert f"Prefect: {served.url}/api, its server, workers and daily runs are well" in said


def test_the_served_lake_is_well_and_strangers_hear_no_more_than_that(served: Served) -> None:
    for _ in range(120):  # until its workers have reported
        answer = served.client.get(f"{served.url}/health")
        if answer.status_code == 200:
            break
        time.sleep(0.5)
    lake = answer.json()["lakes"][served.lake.uri]
    assert (answer.status_code, lake["wrong"]) == (200, [])
    assert lake["next_run"]
    assert lake["workers"]
    for stranger in (httpx.Auth(), httpx.BasicAuth("otzyv", "a guess")):
        answer = served.client.get(f"{served.url}/health", auth=stranger)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})


def test_many_who_ask_at_once_are_all_answered(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{served.url}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", served.login)
    with ThreadPoolExecutor(12) as asking:
        pages = [asking.submit(served.client.get, f"{served.url}/backfills") for _ in range(24)]
        seen = [asking.submit(serving_now, served.lake.uri) for _ in range(6)]
    assert [page.result().status_code for page in pages] == [200] * len(pages)
    assert [one.result().unknown for one in seen] == [None] * len(seen)
