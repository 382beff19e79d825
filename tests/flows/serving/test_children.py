"""A backfill's children are its own: no dead one is taken for a new one, and a lost answer makes no second one."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

from otzyv.flows.backfill import STRIKES
from otzyv.schemas.tables import RUNS
from tests.flows.road import Road
from tests.flows.served import Served
from tests.flows.serving.attempt import attempt, begun

DAYS = [date(2026, 3, 20), date(2026, 3, 21)]
REQUEST = {"days": [str(day) for day in DAYS], "extractors": ["sentiment_mini"], "what": "again"}


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
        run_id = begun(served, REQUEST)
        attempt(served, served.url, run_id)
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
