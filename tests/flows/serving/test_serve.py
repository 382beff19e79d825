"""``otzyv serve``: schedules are planned, backfills run on its workers, and a daily run waits for one day at most."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import httpx

from otzyv.flows.server.pools import TAG
from otzyv.flows.serving.deployments import INTERNAL
from tests.flows.command import review
from tests.flows.served import Served, serving

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(4)]


def test_every_deployment_explains_itself_and_its_form(served: Served) -> None:
    mark = f" {served.names.mark}"
    made = [one for one in served.post("deployments/filter") if one["name"].endswith(mark)]
    found = {one["name"].removesuffix(mark): one for one in made}
    assert set(found) >= {"features", "backfill", "quality", "maintain", "fit", "adapt"}
    assert all(one["description"] for one in found.values())
    assert {name for name, one in found.items() if one["schedules"]} == {"features", "maintain"}
    internal = {name for name, one in found.items() if INTERNAL in one["tags"]}
    assert internal == {name for name, one in found.items() if one["description"].startswith("Internal: ")}
    assert internal == {"backfill days"}
    for name in ("features", "fit", "adapt", "quality", "maintain"):
        fields = found[name]["parameter_openapi_schema"]["properties"]
        assert all(field.get("description") for field in fields.values()), name


def test_the_next_daily_run_is_planned(served: Served) -> None:
    runs = served.post("flow_runs/filter", deployments={"name": {"any_": [served.names.deployment("features")]}})
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}


def test_a_daily_run_goes_before_the_days_of_a_backfill_finds_what_the_settings_name_and_both_end_well(
    served: Served,
) -> None:
    incoming = Path(served.lake.uri).parent / "incoming"  # as the settings name it from where serve was started
    records = [review(f"brought {n}", "Отлично", str(DAYS[3])) for n in range(3)]
    (incoming / f"{DAYS[3]}.jsonl").write_text("\n".join(map(json.dumps, records)))
    request = {
        "extractors": ["sentiment_mini"],
        "order": "oldest first",
        "from_day": "2026-03-01",
        "to_day": "2026-03-03",
    }
    backfill = served.start("backfill/backfill", request=request)
    while not served.days_made(DAYS):
        time.sleep(0.5)
    daily = served.start("daily/features", day=str(DAYS[3]), catch_up=1, extractors=["sentiment_mini"])
    served.completed(daily)
    assert served.completed(backfill)["parameters"]["request"] == request  # as the form gave it
    assert served.run(backfill)["name"] == "backfill lake 2026-03-01 to 2026-03-03, stale"
    assert served.run(daily)["name"] == "daily lake 2026-03-04"
    order = served.days_made(DAYS)
    assert sorted(order) == DAYS
    assert order.index(DAYS[3]) in (1, 2)  # after the running day, which may end as the daily run comes
    assert [day for day in served.lake.releases() if day <= DAYS[3]] == DAYS
    assert {record["review_id"] for record in records} < {*served.lake.frame(DAYS[3:], ["sentiment_mini"])["review_id"]}
    ours = {"name": {"any_": ["daily", "backfill", "backfill days", "features"]}}
    runs = served.post("flow_runs/filter", flow_runs={"start_time": {"is_null_": False}}, flows=ours)
    assert {TAG in run["tags"] for run in runs} == {True}, "also of the runs within others it is told when they die"


def test_with_login_switched_on_a_stranger_is_refused_runs_are_made_and_one_at_work_is_stopped_without_tracebacks(
    tmp_path: Path, prefect_database: Path
) -> None:
    login = "engineer:a password made up for tests"
    days = [DAYS[0] + timedelta(n) for n in range(30)]
    with serving(tmp_path, days, database=prefect_database, PREFECT_SERVER_API_AUTH_STRING=login) as served:
        for stranger in (httpx.Auth(), httpx.BasicAuth("engineer", "a guess")):
            assert served.client.post("flow_runs/filter", json={}, auth=stranger).status_code == 401
        served.client.auth = httpx.BasicAuth(*login.split(":"))
        orders = [{"day": str(day), "extractors": ["sentiment_mini"]} for day in days]
        run = served.start("backfill days/backfill days", orders=orders)
        ended = {"state": {"type": {"any_": ["COMPLETED"]}}, "start_time": {"is_null_": False}}
        while not served.post("flow_runs/filter", flow_runs=ended):
            assert served.run(run)["state_type"] in ("SCHEDULED", "PENDING", "RUNNING")
            time.sleep(0.1)
        made = served.lake.releases()
        assert served.run(run)["state_type"] == "RUNNING"
    assert set() < {*made} <= {*served.lake.releases()} < {*days}
    said = served.told.read_text()
    assert "Traceback" not in said
    assert f"({run}) is marked as Cancelled: otzyv serve was stopped" in said
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as database:
        states = database.execute("SELECT DISTINCT state_type FROM flow_run WHERE start_time IS NOT NULL").fetchall()
    assert {state for (state,) in states} == {"COMPLETED", "CANCELLED"}
