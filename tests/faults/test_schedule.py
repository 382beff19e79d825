"""``otzyv serve`` left alone for forty days of a clock that runs fast: killed, off for weeks, on either database."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import SecretStr

from otzyv.flows.run import run
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.ingest import Source
from tests.faults.clock import Clock
from tests.faults.counts import detail, share, turns
from tests.faults.origin import Origin
from tests.faults.postgres import postgres
from tests.faults.test_worker import stop
from tests.flows.served import KEY, Served, serving
from tests.tasks.alerts.heard import Heard, hearing

FIRST = date(2027, 3, 1)
EXTRACTORS = ["sentiment_mini", "image_layout"]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
DAYS = 40
EACH_RUN = {"failed", "crashed"}
"""Kinds of alerts of which every run is told; of the others what lasts is told once."""
LONGEST = 240.0
"""Seconds until a daily run that is due has ended."""


class House:
    """A lake that ``otzyv serve`` makes of a source while days pass."""

    def __init__(self, folder: Path, seed: int, clock: Clock, environment: Mapping[str, str], database: Path | None):
        self.folder, self.clock, self.chance = folder, clock, random.Random(seed)
        self.environment = {**clock.environment, **environment}
        self.database = database
        self.origin = Origin(self.chance, folder / "incoming")
        self.number = 0
        self.faults = 0

    @property
    def days(self) -> list[date]:
        return [FIRST + timedelta(number) for number in range(self.number + 1)]

    @property
    def day(self) -> date:
        return FIRST + timedelta(self.number)

    @contextmanager
    def served(self) -> Iterator[Served]:
        with serving(self.folder, [], database=self.database, **self.environment) as served:
            daily = served.deployment("daily/features")
            if "extractors" not in daily["parameters"]:
                wanted = daily["parameters"] | {"extractors": EXTRACTORS}
                served.patch(f"deployments/{daily['id']}", parameters=wanted)
            yield served

    def pass_day(self) -> None:
        """What came on a day lies there in the night after it."""
        self.origin.go_on(self.number, self.day)
        self.origin.write(self.number)
        self.number += 1

    def until_due(self) -> datetime:
        """Move the clock to the night's daily run."""
        due = datetime(self.day.year, self.day.month, self.day.day, 3, tzinfo=UTC)
        self.clock.go_on(due - timedelta(seconds=2))
        return due

    def daily_runs(self, served: Served) -> list[dict[str, Any]]:
        deployment = served.deployment("daily/features")["id"]
        found: list[dict[str, Any]] = served.post(
            "flow_runs/filter", flow_runs={"deployment_id": {"any_": [deployment]}}, sort="EXPECTED_START_TIME_DESC"
        )
        return [each for each in found if datetime.fromisoformat(each["expected_start_time"]) <= self.clock.now]

    def await_run(self, served: Served, of: datetime, states: set[str]) -> str:
        """The state of the newest daily run, once it is the one due then and in one of these."""
        began = time.monotonic()
        while time.monotonic() - began < LONGEST:
            for newest in self.daily_runs(served)[:1]:
                if datetime.fromisoformat(newest["expected_start_time"]) >= of and newest["state_type"] in states:
                    return str(newest["state_type"])
            time.sleep(0.5)
        raise AssertionError(f"the daily run of {of} is not {states}: {self.daily_runs(served)[:2]}")


def live(house: House, days: int) -> None:
    """Nights in which the daily run is made, the machine dies, or is off; after each it goes on by itself."""
    chance = house.chance
    while house.number < days:
        with house.served() as served:
            while house.number < days:
                house.pass_day()
                due = house.until_due()
                fault = chance.choice(("", "", "", "", "killed", "off"))
                house.faults += bool(fault)
                if fault == "killed":
                    house.await_run(served, due, {"RUNNING"})
                    time.sleep(chance.random() * 3)
                    stop(served, "kill -9 of all")
                    break
                house.await_run(served, due, ENDED)
                if fault == "off":
                    break
        if fault == "off":
            for _ in range(chance.choice((1, 2, 13))):
                house.pass_day()
            house.clock.go_on(datetime(house.day.year, house.day.month, house.day.day, 1, tzinfo=UTC))


def come_to_rest(house: House, heard: Heard) -> None:
    house.origin.heal()
    house.origin.write(house.number + 100)
    for _ in range(2):
        house.number += 1
        with house.served() as served:
            due = house.until_due()
            assert house.await_run(served, due, ENDED) == "COMPLETED", served.told.read_text()
            left = served.post("flow_runs/filter", flow_runs={"state": {"type": {"any_": ["RUNNING", "PENDING"]}}})
            assert left == [], "nothing is running that is dead"
            await_start_of_all(heard)


def await_start_of_all(heard: Heard) -> None:
    """Maintenance is as late as the daily run, for the clock has moved past both: until it was told to have begun."""
    began = time.monotonic()
    while late := [each for each, states in alerts(heard).items() if each[0] == "late" and states[-1] != "over"]:
        assert time.monotonic() - began < LONGEST, late
        time.sleep(1)


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
def test_a_schedule_left_alone_leaves_the_lake_of_one_run_over_all_sources(
    tmp_path: Path, prefect_database: Path
) -> None:
    for turn in turns("a schedule left alone for forty days, Prefect on SQLite and on PostgreSQL", 2, 2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        clock = Clock(folder)
        clock.go_on(datetime(2027, 3, 1, 1, tzinfo=UTC))
        with ExitStack() as stack:
            heard = stack.enter_context(hearing())
            settings, database = {"OTZYV_WEBHOOK": heard.address}, None if turn else prefect_database
            if turn:
                settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = stack.enter_context(postgres(clock.environment))
            house = House(folder, turn, clock, settings, database)
            live(house, DAYS)
            come_to_rest(house, heard)
        detail(f"of {house.number} days, {house.faults} faults, {len(heard.asked)} messages")
        once = folder / "once"
        run(str(once), EXTRACTORS, source=Source(str(folder / "incoming")), author_key=SecretStr(KEY))
        for table in ("reviews", "attachments", "clean_text", *EXTRACTORS):
            pd.testing.assert_frame_equal(rows(Lake(folder / "lake"), table), rows(Lake(once), table))

        told = alerts(heard)
        for subject, states in told.items():
            for before, now in pairwise(["over", *states]):
                one_more = subject[0] in EACH_RUN and now == "raised"
                assert one_more or (before == "over") == (now == "raised"), f"{subject} was told as {states}"
        wrong = {subject for subject, states in told.items() if states[-1] != "over"}
        empty = {("missing", str(day)) for day in house.days} - {("missing", str(day)) for day in with_reviews(house)}
        assert wrong <= empty, "all else is over, and was told so"
        assert {kind for kind, _ in told} >= {"crashed", "missing"}


def alerts(heard: Heard) -> dict[tuple[str, str], list[str]]:
    """By kind and subject what a receiver was told of it; a message that is sent again has the same id."""
    found: dict[tuple[str, str], list[str]] = {}
    messages = {headers["webhook-id"]: json.loads(body) for _, headers, body in heard.asked}
    for message in messages.values():
        for subject in message["subjects"]:
            found.setdefault((message["kind"], subject), []).append(message["state"])
    return found


def with_reviews(house: House) -> set[date]:
    return {each.day for held in house.origin.files.values() for each in held}


def rows(lake: Lake, table: str) -> pd.DataFrame:
    frame = lake.frame(None, [table], "pandas").drop(columns=["former_day"], errors="ignore")
    return frame.sort_values("review_id", kind="stable").reset_index(drop=True)
