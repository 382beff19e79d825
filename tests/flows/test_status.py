"""``otzyv status`` tells how a lake stands as its tables do, and what Prefect knows of it, or why that is not known."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otzyv.flows.server.asking import Questions
from otzyv.flows.server.health import Health
from otzyv.flows.server.lock import Lock
from otzyv.flows.server.pools import this_machine
from otzyv.flows.server.serving_now import ENDED, serving_now
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.kinds import HELD
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.alerts.state import Observation, Trouble
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import TableRun, make
from otzyv.tasks.record import record
from otzyv.tasks.release import release
from tests.flows.command import command
from tests.tasks.reviews import bring

DAYS = [date(2026, 3, 1) + timedelta(n) for n in range(5)]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two days are released, one of which another review came to; of one a table failed; one was never made."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    made = Lake.create(tmp_path / "lake")
    bring(made, {day: {f"{day}-{n}": f"курс {n}" for n in range(2)} for day in DAYS[:4]})
    long_ago = datetime(2026, 3, 9, tzinfo=UTC)
    for day in (DAYS[0], DAYS[2]):
        record.fn(made.uri, [TableRun("clean_text", day, "failed", long_ago, error="ValueError: no")])
    for day in DAYS[:2]:
        runs = [make(made, CLEANING, day)]
        record.fn(made.uri, runs)
        release.fn(made.uri, [day], runs)
    bring(made, {DAYS[1]: {"late": "поздно"}})
    return made


def status(lake: Lake, *options: str) -> Any:
    done = command("status", "--lake", lake.uri, "--json", *options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_last_days_are_told_as_the_lake_has_them(lake: Lake) -> None:
    told = status(lake)
    assert [(day["day"], day["seen"], day["reviews"], day["failed"], day["to_make"]) for day in told["last"]] == [
        (str(DAYS[3]), "not released", 2, {}, True),
        (str(DAYS[2]), "not released", 2, {"clean_text": "ValueError: no"}, True),
        (str(DAYS[1]), "released", 3, {}, True),
        (str(DAYS[0]), "released", 2, {}, False),
    ]
    assert told["to_make"] == [str(day) for day in DAYS[1:4]]
    assert (told["days"], told["held"], told["timezone"]) == (4, [], "UTC")
    assert 0 < told["disk"]["free"] < told["disk"]["total"]
    assert [day["day"] for day in status(lake, "--days", "1")["last"]] == [str(DAYS[3])]


def test_people_read_the_same_and_that_nothing_is_served(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of a terminal, which breaks lines
    said = command("status", "--lake", lake.uri).stdout
    assert "clean_text failed: ValueError: no" in said
    assert said.count("to be made") == 1, "which means all days of the line"
    assert (said.count("not made yet"), said.count("reviews changed since")) == (2, 1)
    assert f"to be made: {DAYS[1]} to {DAYS[3]}; `otzyv plan --lake {lake.uri}`" in said
    assert "Prefect: no otzyv serve of this user runs, and PREFECT_API_URL names no server" in said


def test_open_alerts_are_counted(lake: Lake) -> None:
    assert "open alerts:" not in command("status", "--lake", lake.uri).stdout
    alerts = Alerts.of(lake.uri, AlertSettings(), print)
    alerts.observe(Observation(HELD, {str(day): Trouble("to look at") for day in DAYS[:2]}))
    assert f"open alerts: 2 held; `otzyv alerts --lake {lake.uri}`" in command("status", "--lake", lake.uri).stdout
    assert status(lake)["alerts"] == {"held": 2}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "http://[", "not an address"])
def test_a_server_that_does_not_answer_is_named_and_nothing_fails(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    found = serving_now(lake.uri)
    assert (found.url, found.served) == (url, False)
    assert str(found.unknown).startswith("it does not answer as Prefect's server does")
    assert "does not answer" in command("status", "--lake", lake.uri).stdout


def test_the_password_of_an_address_is_not_shown(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://somebody:a-secret@127.0.0.1:9/api")
    for options in ((), ("--json",)):
        assert "a-secret" not in command("status", "--lake", lake.uri, *options).output


def test_a_serve_that_has_just_ended_here_is_not_taken_for_one_at_work(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"wrong": [], "workers": [this_machine()], "paused": False, "last_success": None, "next_run": None}

    async def health(_: Health) -> Any:
        return {"lakes": {lake.uri: told}}

    async def asked(*_: Any) -> Any:
        return []

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(Health, "told", health)
    monkeypatch.setattr(Questions, "ask", asked)
    serves = Lock(Path(lake.uri))
    assert serves.take()
    found = serving_now(lake.uri)
    assert (found.workers, found.wrong) == ([this_machine()], [])
    serves.close()  # as the kernel does when its process is killed
    found = serving_now(lake.uri)
    assert (found.workers, found.wrong) == ((), [ENDED])
    told["workers"] = ["otzyv elsewhere 1000"]
    assert serving_now(lake.uri).wrong == []
