"""A backfill that an operator pauses, resumes, cancels and retries on Prefect's pages: days are made once, and it says
at each time what was done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from prefect.exceptions import Pause

from otzyv.flows.children import CALLED_OFF
from otzyv.schemas.tables import RUNS
from tests.flows.served import Served
from tests.flows.serving.attempt import attempt, begun

DAYS = [date(2026, 3, 5) + timedelta(n) for n in range(12)]
TABLES = ("clean_text", "sentiment_mini")


def until(true: Callable[[], bool], served: Served) -> None:
    for _ in range(480):
        if true():
            return
        time.sleep(0.25)
    raise AssertionError(served.told.read_text())


def attempts(served: Served) -> Counter[date]:
    """How often each of the days was made since the lake is."""
    rows = served.lake.read(RUNS).to_pylist()
    return Counter(row["day"] for row in rows if row["table"] == TABLES[1] and row["day"] in DAYS)


def children(served: Served, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})
    return sorted(found, key=lambda child: str(child["expected_start_time"]))


def shown(served: Served, run: str, key: str) -> Any:
    """The newest version of what a run shows."""
    wanted = {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}
    found = served.post("artifacts/filter", artifacts=wanted, sort="UPDATED_DESC", limit=1)
    return found[0]["data"] if found else ""


def set_state(served: Served, run: str, **state: Any) -> None:
    served.post(f"flow_runs/{run}/set_state", state=state, force=state["type"] == "PAUSED")


def test_a_backfill_is_paused_resumed_cancelled_and_retried_and_makes_each_day_once(served: Served) -> None:
    request = {
        "from_day": str(DAYS[0]),
        "to_day": str(DAYS[-1]),
        "extractors": [TABLES[1]],
        "what": "again",
        "order": "oldest first",
    }
    run, paused = begun(served, request), list[Pause]()

    def begin() -> None:
        try:
            attempt(served, served.url, run)
        except Pause as error:
            paused.append(error)

    beginning = threading.Thread(target=begin)
    beginning.start()
    until(lambda: len(children(served, run)) == 1, served)
    set_state(served, run, type="PAUSED", name="Paused")  # as a program does, whose state says nothing of a process
    beginning.join()
    assert paused
    assert served.run(run)["state_name"] == "Paused"
    (first,) = children(served, run)
    assert (first["state_type"], first["state_name"]) == ("CANCELLED", CALLED_OFF)
    assert first["state"]["message"] == "its backfill is paused"
    assert told(served, run) == (0, 0, "it was paused")
    assert not attempts(served)

    served.post(f"flow_runs/{run}/resume")
    until(lambda: attempts(served).total() > 0, served)
    set_state(served, run, type="CANCELLING")
    until(lambda: served.run(run)["state_type"] == "CANCELLED", served)
    until(lambda: {child["end_time"] is not None for child in children(served, run)} == {True}, served)
    assert children(served, run)[-1]["state_type"] == "CANCELLED"
    made = attempts(served)
    assert 0 < len(made) < len(DAYS)
    count, share, why = told(served, run)
    assert why == "it was stopped"
    assert 0 < count <= len(made), "a day that was under way may have been made after that"
    assert share == pytest.approx(100 * count / len(DAYS))

    attempt(served, served.url, run)
    served.completed(run)
    assert attempts(served) == dict.fromkeys(DAYS, 1)
    assert told(served, run) == (len(DAYS), 100, "")
    assert children(served, run)[-1]["state_type"] == "COMPLETED"
    shown_page = served.client.get(f"{served.url}/backfills/{run}")
    assert shown_page.status_code == 200
    assert shown_page.text.count(">done 3</a>") == len(DAYS) * len(TABLES)
    assert served.client.get(f"{served.url}/backfills/{run}", auth=httpx.Auth()).status_code == 401
    assert f"/backfills/{run}" in served.client.get(f"{served.url}/backfills").text


def told(served: Served, run: str) -> tuple[int, float, str]:
    """How many days the result tells of, the progress that is shown, and why days are left."""
    result = shown(served, run, "backfill-result")
    days = {line.split(" | ")[0] for line in result.splitlines() if line.startswith("| 2026-")}
    left = [line.partition(", as ")[2].partition(":")[0] for line in result.splitlines() if "days are left" in line]
    return len(days), float(shown(served, run, "backfill-progress")), "".join(left)


def test_a_range_the_wrong_way_round_makes_no_run(served: Served) -> None:
    named = served.deployment("backfill/backfill")
    given = {"request": {"from_day": "2026-03-05", "to_day": "2026-03-04"}}
    answer = served.ask("POST", f"deployments/{named['id']}/create_flow_run", parameters=given)
    assert answer.status_code == 422
    assert answer.json() == {"detail": "From 2026-03-05 comes after To 2026-03-04: exchange them"}
