"""``/metrics``: what Prometheus is told is what Prefect, the lake and the book of alerts have."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from otzyv.flows.server import figures, guard
from otzyv.flows.server.figures import STALE, Figures
from otzyv.flows.server.guard import Guard, origins
from otzyv.flows.server.health import DAILY, Health
from otzyv.flows.server.metrics import STATES, TYPE, Metrics
from otzyv.flows.server.pools import TAG
from otzyv.flows.serving import alarm
from otzyv.flows.serving.alarm import Alarm
from otzyv.tasks.alerts.kinds import KINDS
from otzyv.tasks.lake import Lake
from tests.tasks.reviews import bring

RUNS = {"COMPLETED": 40, "FAILED": 2, "SCHEDULED": 3}


async def ask(path: str, body: dict[str, Any]) -> Any:
    """As Prefect's API answers of one lake that is served."""
    if path == "deployments/filter":
        daily = {"id": "1", "entrypoint": DAILY, "parameters": {"lake": "/l"}, "work_pool_name": "otzyv-l"}
        return [daily | {"paused": False, "schedules": [{"active": True}]}]
    if path == "work_pools/filter":
        return [{"name": "otzyv-l"}, {"name": "somebody else's"}]
    if path.startswith("work_pools"):
        return [{"name": "otzyv here", "status": "ONLINE"}]
    if path == "flow_runs/count":
        assert body["work_pools"]["name"]["any_"] == ["otzyv-l"]
        (state,) = body["flow_runs"]["state"]["type"]["any_"]
        return RUNS.get(state, 0)
    when, (state, *_) = "2026-03-01T03:00:00+00:00", body["flow_runs"]["state"]["type"]["any_"]
    end = {"state_type": state, "state_name": state, "name": "daily", "end_time": when}
    return [end | {"expected_start_time": "2100-03-01T03:00:00+00:00"}]


def parsed(told: bytes) -> dict[tuple[str, frozenset[str]], float]:
    """By the name and the values of the labels."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(told.decode())
        for sample in family.samples
    }


def test_what_prefect_and_serve_know_is_told_in_prometheus_format(tmp_path: Path) -> None:
    lake = '/l "1"\n'
    figures.write(
        tmp_path, "l-1", Figures(
            lake, time.time(), {"released": 7, "held": 1}, {"records in": 12.0, "days made": 2.0},
            {"the lake": 5 << 30}, {"held": 1, "missing": 0}, {"held": {"raised": 3, "over": 2}}, 4,
        ),
    )  # fmt: skip
    figures.write(tmp_path, "l-2", Figures("stopped", time.time() - STALE - 1))
    (tmp_path / figures.FOLDER / "l-3.json").write_text("{")
    told = parsed(asyncio.run(Metrics(ask, Health(ask, TAG), tmp_path).told()))
    looked = told.pop(("otzyv_looked_timestamp_seconds", frozenset({lake})))
    assert abs(looked - time.time()) < 60
    expected: dict[tuple[str, ...], float] = {
        ("otzyv_server_up",): 1,
        ("otzyv_healthy", "/l"): 1,
        ("otzyv_workers", "/l"): 1,
        ("otzyv_last_success_timestamp_seconds", "/l"): 1772334000,
        ("otzyv_next_run_timestamp_seconds", "/l"): 4107553200,
        **{("otzyv_runs", "otzyv-l", state.lower()): RUNS.get(state, 0) for state in STATES},
        ("otzyv_days", lake, "released"): 7,
        ("otzyv_days", lake, "held"): 1,
        ("otzyv_last_daily_records", lake, "in"): 12,
        ("otzyv_last_daily_days", lake, "made"): 2,
        ("otzyv_disk_free_bytes", lake, "the lake"): 5 << 30,
        ("otzyv_alerts_open", lake, "held"): 1,
        ("otzyv_alerts_open", lake, "missing"): 0,
        ("otzyv_alerts_total", lake, "held", "raised"): 3,
        ("otzyv_alerts_total", lake, "held", "over"): 2,
        ("otzyv_alerts_waiting", lake): 4,
    }
    assert told == {(name, frozenset(labels)): value for (name, *labels), value in expected.items()}


def test_a_server_that_does_not_answer_is_down_and_the_rest_is_told(tmp_path: Path) -> None:
    async def gone(_path: str, _body: dict[str, Any]) -> Any:
        raise httpx.ReadTimeout("")

    figures.write(tmp_path, "l", Figures("/l", time.time(), disks={"the lake": 1}))
    told = parsed(asyncio.run(Metrics(gone, Health(gone, TAG), tmp_path).told()))
    assert told["otzyv_server_up", frozenset()] == 0
    assert told["otzyv_disk_free_bytes", frozenset({"/l", "the lake"})] == 1


def test_it_is_cheap_to_ask_again(tmp_path: Path) -> None:
    asked: list[str] = []

    async def counted(path: str, body: dict[str, Any]) -> Any:
        asked.append(path)
        return await ask(path, body)

    metrics = Metrics(counted, Health(counted, TAG), tmp_path)

    async def often() -> None:
        for _ in range(50):
            await metrics.told()

    asyncio.run(often())
    assert len(asked) < 20


@pytest.mark.parametrize(
    ("login", "says", "status"), [("a:b", "a:b", 200), ("a:b", "a:c", 401), ("a:b", None, 401), ("", None, 200)]
)
def test_whoever_has_the_login_is_told(
    login: str, says: str | None, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", login)

    async def app(*_: Any) -> None:
        raise AssertionError("the server behind has no such page")

    one = Guard(app, origins(4200))
    one.metrics = Metrics(ask, Health(ask, TAG), tmp_path)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    headers = [(b"host", b"127.0.0.1:4200")]
    headers += [(b"authorization", b"Basic " + base64.b64encode(says.encode()))] if says else []
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
    asyncio.run(one(scope, receive, send))
    assert sent[0]["status"] == status
    assert (b"otzyv_server_up" in sent[1]["body"]) == (status == 200)
    assert ((b"content-type", TYPE.encode()) in sent[0]["headers"]) == (status == 200)
    assert guard.UNFRAMED[0] in sent[0]["headers"]


def test_what_serve_sees_of_a_lake_is_what_is_there(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_ALERTS", json.dumps({"disk_free_gib": 1e9}))
    monkeypatch.setattr(alarm, "get_current_settings", lambda: type("Home", (), {"home": tmp_path / "home"}))
    lake = Lake.create(tmp_path / "lake")
    looking = Alarm(lake.uri, {}, print)
    for days in (0, 2):
        bring(lake, {date(2026, 3, 1 + n): {f"r{n}": "хороший курс"} for n in range(days)})
        looking.look()
        (seen,) = figures.read(tmp_path / "home")
        assert (seen.lake, seen.days) == (lake.uri, {"released": 0, "to_make": days, "failed": 0, "held": 0})
    assert seen.open == {name: int(name == "disk low") for name, kind in KINDS.items() if kind.lasts}
    assert seen.told == {"disk low": {"raised": 1}}


def test_the_operators_page_lists_every_figure(tmp_path: Path) -> None:
    told = asyncio.run(Metrics(ask, Health(ask, TAG), tmp_path).told()).decode()
    families = {family.name for family in text_string_to_metric_families(told)}
    said = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    assert {name for name in families if f"`{name}`" not in said and f"`{name}_total`" not in said} == set()
