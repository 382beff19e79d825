"""While a lake is served, whatever goes wrong around its runs is told, once, and that it is over."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, Scheduled

from otzyv.flows.serving import alarm as module
from otzyv.flows.serving.alarm import Alarm
from otzyv.flows.serving.deployments import deploy
from otzyv.flows.settings import Settings
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.book import Book
from otzyv.tasks.alerts.kinds import HELD, MISSING, Kind
from otzyv.tasks.alerts.state import Observation, Trouble
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.storage import Storage
from tests.tasks.alerts.heard import Heard, hearing
from tests.tasks.reviews import bring

pytestmark = pytest.mark.usefixtures("prefect_server")
YEARLY = "0 0 1 1 *"
NOW = datetime.now(UTC)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    with hearing() as one:
        monkeypatch.setenv("OTZYV_WEBHOOK", one.address)
        monkeypatch.setenv("OTZYV_ALERTS", json.dumps({"disk_free_gib": 0, "again_hours": 6, "repeats": 2}))
        yield one


def told(heard: Heard) -> list[str]:
    """Since it was asked for last."""
    found = [f"{body['event'].removeprefix('otzyv.')} {', '.join(body['subjects'])}" for body in bodies(heard)]
    heard.asked.clear()
    return found


def bodies(heard: Heard) -> list[dict[str, Any]]:
    return list(map(json.loads, heard.bodies))


class Serving:
    """A lake whose deployments stand in Prefect, and runs of theirs in the states that a test says."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake.create(folder / "lake")
        self.ids = deploy(self.lake.uri, Settings(cron=YEARLY)).ids
        self.said: list[str] = []
        self.alarm = Alarm(self.lake.uri, self.ids, self.said.append)

    def run(self, flow: str, *states: State[Any], **parameters: Any) -> UUID:
        (found,) = [each for name, each in self.ids.items() if name.startswith(f"{flow}/")]
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(UUID(found), state=states[0], parameters=parameters)
            for state in states[1:]:
                client.set_flow_run_state(run.id, state, force=True)
        return run.id

    def became(self, run: UUID, state: State[Any]) -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, state, force=True)


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.delenv("OTZYV_SOURCE", raising=False)
    return Serving(tmp_path)


def test_each_run_that_ends_badly_is_told_once_and_over_with_the_next_good_one(serving: Serving, heard: Heard) -> None:
    serving.run("daily", Running(), Failed(message="Иван П.: ужасный курс"))
    serving.run("maintain", Running(), Crashed(message="its process is gone"))
    serving.run("backfill days", Running(), Failed(), orders=[])  # its parent tells
    serving.run("quality", Running(), Cancelled())
    serving.alarm.look()
    assert "Иван" not in str(bodies(heard))
    assert sorted(told(heard)) == ["run.crashed maintain", "run.failed daily"]
    for look in (serving.alarm, Alarm(serving.lake.uri, serving.ids, print)):
        look.look()
    assert told(heard) == [], "also another one, after a restart, knows that they were told"
    serving.run("daily", Running(), Crashed())
    serving.run("maintain", Running(), Completed())
    serving.alarm.look()
    assert sorted(told(heard)) == ["run.crashed daily", "run.crashed.over maintain"]
    serving.run("daily", Running(), Completed())
    for _ in range(2):
        serving.alarm.look()
    assert sorted(told(heard)) == ["run.crashed.over daily", "run.failed.over daily"]
    assert Book(serving.lake.uri).state.marks["success"] > NOW.timestamp()


def test_a_scheduled_run_that_does_not_begin_is_late_until_it_begins(serving: Serving, heard: Heard) -> None:
    run = serving.run("daily", Scheduled(scheduled_time=NOW - timedelta(minutes=59)))
    serving.run("backfill", Scheduled(scheduled_time=NOW - timedelta(minutes=99)))  # a person's; it waits for its turn
    serving.alarm.look(NOW)
    assert told(heard) == []
    for minutes in (2, 3):
        serving.alarm.look(NOW + timedelta(minutes=minutes))
    assert told(heard) == ["run.late daily"]
    serving.became(run, Running())
    serving.alarm.look(NOW + timedelta(minutes=4))
    assert told(heard) == ["run.late.over daily"]


def test_a_day_without_success_is_told_again_at_times_until_one_ends_well(
    serving: Serving, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour, alerts = 0, serving.alarm.alerts

    def at_hour() -> Alerts:
        return replace(alerts(), clock=lambda: (NOW + timedelta(hours=hour)).timestamp())

    monkeypatch.setattr(serving.alarm, "alerts", at_hour)
    for hour in range(60):
        serving.alarm.look(NOW + timedelta(hours=hour))
    assert told(heard) == ["run.none_succeeded daily"] * 3
    alerts().mark(success=(NOW + timedelta(hours=59)).timestamp())
    serving.alarm.look(NOW + timedelta(hours=60))
    assert told(heard) == ["run.none_succeeded.over daily"]


def test_a_disk_is_low_until_there_is_room_again(
    serving: Serving, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_ALERTS", json.dumps({"disk_free_gib": 10}))
    for free in (20, 10.1, 9.9, 9, 10.5, 9.9, 10.9, 11.1, 10.1):
        found = {"the lake": (Path("/lake"), int(free * module.GIB))}
        monkeypatch.setattr(module, "free_bytes", lambda _, found=found: found)
        serving.alarm.look()
    assert told(heard) == ["disk.low the lake", "disk.low.over the lake"]


def test_free_bytes_are_those_of_the_file_system(tmp_path: Path) -> None:
    found = module.free_bytes(str(tmp_path))
    place, free = found["the lake"]
    stat = os.statvfs(tmp_path)
    assert (place, abs(free - stat.f_bavail * stat.f_frsize) < 1 << 30) == (tmp_path, True)
    assert len({os.stat(place).st_dev for place, _ in found.values()}) == len(found)
    assert "the lake" not in module.free_bytes("s3://bucket/lake")


def test_a_server_that_does_not_answer_is_told_without_it(
    serving: Serving, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: object) -> Any:
        raise httpx.ConnectError("geheim")

    serving.alarm.look(NOW)
    with monkeypatch.context() as away:
        away.setattr(module, "get_client", gone)
        away.setattr("otzyv.flows.alerts.emit", gone)
        for minutes in range(0, 12, 2):
            serving.alarm.look(NOW + timedelta(minutes=minutes))
        assert "geheim" not in str(bodies(heard))
        assert told(heard) == ["server.gone Prefect"]
    serving.alarm.look(NOW + timedelta(minutes=13))
    assert told(heard) == ["server.gone.over Prefect"]
    serving.alarm.server_gone("Prefect's server did not start")
    assert told(heard) == ["server.gone Prefect"]


def test_days_that_come_after_all_or_are_held_between_daily_runs_are_told(serving: Serving, heard: Heard) -> None:
    day = date(2026, 3, 1)
    alerts = serving.alarm.alerts()
    alerts.observe(Observation(MISSING, {str(day): Trouble("nothing has come")}))
    serving.alarm.look()
    assert told(heard) == [f"day.missing {day}"]
    bring(serving.lake, {day: {"a": "хороший курс"}})
    serving.alarm.look()
    assert told(heard) == [f"day.missing.over {day}"]


def test_what_a_run_tells_while_serve_looks_is_not_taken_for_over(
    serving: Serving, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(kind: Kind, day: str) -> None:
        serving.alarm.alerts().observe(Observation(kind, {day: Trouble("told by a run")}, [day]))

    def looked(_: Lake) -> dict[str, Trouble]:
        for kind in (HELD, MISSING):
            tell(kind, "2026-03-02")
        return {}

    tell(MISSING, "2026-03-01")
    monkeypatch.setattr("otzyv.flows.alerts.held", looked)
    serving.alarm.look()
    assert told(heard) == ["day.missing 2026-03-01", "day.held 2026-03-02", "day.missing 2026-03-02"]


def test_what_is_wrong_with_a_look_ends_nothing_and_is_said_once(tmp_path: Path, heard: Heard) -> None:
    said: list[str] = []
    alarm = Alarm(str(tmp_path / "no lake"), {}, said.append)
    for _ in range(3):
        alarm.look()
    (line,) = [each for each in said if "not all can be looked at" in each]
    assert "no lake" in line
    assert not (tmp_path / "no lake").exists()


def test_a_lake_whose_disk_is_full_tells_what_is_wrong_once_and_not_at_every_look(
    serving: Serving, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Storage, "write_new", full)
    serving.run("daily", Running(), Crashed())
    for minutes in range(4):
        serving.alarm.look(NOW + timedelta(minutes=minutes))
    assert told(heard) == ["run.crashed daily"]
