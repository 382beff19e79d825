"""A backfill's children are its own: no dead one is taken for a new one, and a lost answer makes no second one."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from otzyv.flows.backfill import STRIKES, backfill
from otzyv.schemas.tables import RUNS
from tests.flows.road import Road
from tests.flows.served import Served

DAYS = [date(2026, 3, 20), date(2026, 3, 21)]
REQUEST = {"days": [str(day) for day in DAYS], "extractors": ["sentiment_mini"], "what": "again"}


def attempt(served: Served, url: str, run_id: str | None = None) -> str:
    """An attempt at a backfill as a worker makes it, but in this process; returns its run."""
    login = {PREFECT_API_URL: f"{url}/api", PREFECT_API_AUTH_STRING: served.login}
    with temporary_settings(login), get_client(sync_client=True) as client:
        if run_id is None:
            deployment = client.read_deployment_by_name(served.names.deployment("backfill/backfill"))
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"lake": served.lake.uri, "request": REQUEST}, state=Pending()
            )
        else:
            client.set_flow_run_state(UUID(run_id), Pending(), force=True)
            run = client.read_flow_run(UUID(run_id))
        run_flow(backfill, flow_run=run, return_type="state")
    return str(run.id)


def children(served: Served, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
    return found


def test_a_backfill_begun_anew_is_handed_no_dead_child_and_no_second_one_where_an_answer_is_lost(
    served: Served,
) -> None:
    ended = threading.Event()

    def end_children() -> None:
        while not ended.wait(0.1):
            runs = served.post(
                "flow_runs/filter", deployments={"name": {"any_": [served.names.deployment("backfill days")]}}
            )
            for child in runs:
                if child["state_type"] == "SCHEDULED":
                    served.post(f"flow_runs/{child['id']}/set_state", state={"type": "CANCELLED"}, force=True)

    killer = threading.Thread(target=end_children)
    killer.start()
    try:
        run_id = attempt(served, served.url)
    finally:
        ended.set()
        killer.join()
    told = served.run(run_id)["state"]["message"]
    assert told.endswith(
        "2 days were not begun, as 3 runs in a row ended without having made one: 2026-03-20, 2026-03-21"
    )
    assert [child["state_type"] for child in children(served, run_id)] == ["CANCELLED"] * STRIKES

    with Road(served.url, loses=b"/create_flow_run") as road:
        attempt(served, road.url, run_id)
    assert road.lost.is_set()
    served.completed(run_id)
    assert [child["state_type"] for child in children(served, run_id)].count("COMPLETED") == 1
    assert len(children(served, run_id)) == STRIKES + 1
    made = [(row["table"], row["day"]) for row in served.lake.read(RUNS).to_pylist() if row["day"] in DAYS]
    assert sorted(made) == [(table, day) for table in ("clean_text", "sentiment_mini") for day in DAYS]
    assert [day for day in served.lake.releases() if day in DAYS] == DAYS
