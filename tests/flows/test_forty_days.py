"""A schedule left alone for forty days, among all that goes wrong, leaves the lake of one run over all sources."""

from __future__ import annotations

import errno
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import SecretStr

from otzyv.flows.backfill import ExtractorName
from otzyv.flows.daily import daily
from otzyv.flows.run import run
from otzyv.schemas.errors import OtzyvError
from otzyv.schemas.tables import QUARANTINE, REVIEWS
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.settings import alert_settings
from otzyv.tasks.extractors import Extractor
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.lake.delta import storage
from otzyv.tasks.lake.releases import NoSuchRelease, waiting
from otzyv.tasks.lake.upkeep.doctor import examine
from otzyv.tasks.pipeline import make
from otzyv.tasks.pipeline.ingest import Source
from tests.faults.counts import detail, turns
from tests.faults.origin import Origin
from tests.tasks.alerts.heard import Heard, hearing

pytestmark = pytest.mark.usefixtures("without_prefect")
KEY = "a key made up for tests"
FIRST = date(2026, 3, 1)
DAYS = 40
TABLES = ["sentiment_mini", "image_layout"]
WINDOW = 3
HISTORY = ("former_day",)
"""Columns that tell how a review came to be where it is."""


class Died(BaseException):
    """The machine stops."""


@contextmanager
def fault_at(count: int, fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stops, or its disk is full, at one of the next files that are written."""
    left = count

    def one_less(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:  # from then on, as long as it lasts
                raise fault
            return call(*given, **named)

        return counted

    with monkeypatch.context() as patch:
        for name in ("write_new", "sync_files", "sync", "_part"):
            patch.setattr(storage.Storage, name, one_less(getattr(storage.Storage, name)))
        yield


@contextmanager
def broken_extractor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def broken(extractor: Extractor, *rest: Any) -> Any:
        if extractor.card.name == TABLES[1]:
            raise ExtractorFailed(f"{TABLES[1]}: no such kernel")
        return extract(extractor, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(make, "extract", broken)
        yield


@dataclass
class House:
    """A lake that daily runs make of a source, and what happens to them."""

    chance: random.Random
    lake: Lake
    origin: Origin
    monkeypatch: pytest.MonkeyPatch
    down: int = 0
    """Days until the machine is up again."""
    broken: int = 0
    faults: int = 0
    full: int = 0
    failed: int = 0
    died_failing: int = 0
    """How often the machine stopped while a run was about to fail, and may have told it."""

    def live(self, number: int, day: date) -> None:
        chance = self.chance
        self.origin.go_on(number, day)
        if not number:  # what daily runs begin with is their history: they begin well
            self.origin.write(number)
            self.make(day)
            return
        if chance.random() < 0.08:
            self.down = chance.choice((1, 1, 2, 3, 12))
        if chance.random() < 0.08:
            self.broken = chance.randint(1, 6)
        cut = chance.choice([*self.origin.files]) if chance.random() < 0.2 else None
        self.origin.write(number, cut=cut)
        if self.down:
            self.down -= 1
            return
        self.operate()
        refused = any(each.refused for held in self.origin.files.values() for each in held)
        fault = chance.choice(("", "", "", "died", "full", "unreachable"))
        self.faults += bool(fault)
        broken = self.broken > 0
        self.broken -= broken
        with broken_extractor(self.monkeypatch) if broken else nullcontext():
            match fault:
                case "died":
                    with suppress(Died, OtzyvError), fault_at(chance.randint(1, 40), Died(), self.monkeypatch):
                        self.make(day)
                case "full":
                    self.full += 1
                    full = OSError(errno.ENOSPC, "No space left on device")
                    with suppress(OSError, OtzyvError), fault_at(chance.randint(1, 40), full, self.monkeypatch):
                        self.make(day)
                case "unreachable":
                    away = self.origin.folder.with_name("away")
                    self.origin.folder.rename(away)
                    with pytest.raises(OtzyvError):
                        self.make(day)
                    away.rename(self.origin.folder)
                case _ if cut or refused or broken:
                    with suppress(OtzyvError):
                        self.make(day)
                case _:
                    self.make(day)

    def make(self, day: date) -> list[date]:
        try:
            return daily(self.lake.uri, day=day, extractors=[ExtractorName(name) for name in TABLES], catch_up=WINDOW)
        except Exception:
            self.failed += 1
            raise
        except Died as error:
            self.died_failing += isinstance(error.__context__, Exception)
            raise

    def operate(self) -> None:
        """Now and then a person rolls a day back, and approves what was made of it since."""
        history = self.lake.history()
        if history and self.chance.random() < 0.1:
            with suppress(NoSuchRelease):
                releases.rollback(self.lake.storage, self.chance.choice([*history]))
        if self.chance.random() < 0.2:
            self.approve()

    def approve(self) -> None:
        for day in waiting(self.lake.history()):
            releases.approve(self.lake.storage, day)

    def come_to_rest(self, number: int, day: date) -> None:
        """All has come, nothing is wrong any more, and what was rolled back is taken back."""
        self.origin.heal()
        self.origin.write(number + 100)
        self.make(day)
        self.approve()
        for known in self.lake.history().values():
            now, made = releases.current(known), releases.made(known)
            if now and made and now.verdict == "rolled back" and now.tables != made.tables:
                releases.rollback(self.lake.storage, made.release_id)
        self.make(day)
        assert self.make(day) == [], "nothing is left to do"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], House]:
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", KEY)
    monkeypatch.setenv("OTZYV_SETTLE_SECONDS", "0")

    def build(seed: int) -> House:
        chance = random.Random(seed)
        place = tmp_path / str(seed)
        monkeypatch.setenv("OTZYV_SOURCE", str(place / "incoming" / "{day}.jsonl"))
        monkeypatch.setenv("OTZYV_PARTIAL", chance.choice(["true", "false"]))
        lake = Lake.create(place / "lake", LakeConfig(author_key_check=key_check(KEY)))
        return House(chance, lake, Origin(chance, place / "incoming"), monkeypatch)

    return build


def seen(lake: Lake, tables: list[str]) -> pd.DataFrame:
    frame = lake.frame(None, tables, "pandas")
    frame = frame.drop(columns=[name for name in frame if str(name).rpartition(".")[2] in HISTORY])
    return frame.sort_values([*frame.columns[:1]], kind="stable").reset_index(drop=True)


def check_alerts(home: House, heard: Heard, last: date) -> None:
    """Each alert was told once, and what is wrong at the end is what is still so."""
    later = replace(Alerts.of(home.lake.uri, alert_settings(), print), clock=lambda: time.time() + 600)
    later.send_left()  # what runs that died had not sent yet
    by_id = {call["id"]: call for call in map(json.loads, heard.bodies)}
    told = [(call["kind"], subject, call["state"]) for call in by_id.values() for subject in call["subjects"]]
    assert 0 <= Counter(told)["failed", "daily", "raised"] - home.failed <= home.died_failing
    assert not [how for _, _, how in told if how == "still"], "no hours have gone by"
    twice = 0
    for kind, subject in {(kind, subject) for kind, subject, _ in told if kind != "failed"}:
        hows = [how for *one, how in told if one == [kind, subject]]
        twice += sum(1 for before, how in pairwise(["over", *hows]) if before == how)
    assert twice <= home.full, "only of what could not be noted on a full disk"
    there = {*home.lake.snapshot(REVIEWS).days}
    state = later.book.state
    empty = {FIRST + timedelta(n) for n in range((last - FIRST).days + 1)} - there
    missing = {date.fromisoformat(day) for day in state.open["missing"]}
    assert empty - {*home.lake.history()} <= missing <= empty, "of a day whose reviews have moved none is missing"
    assert state.outbox == []
    assert not state.open["held"]
    assert not state.open["failed"]


def test_after_forty_days_the_lake_is_that_of_one_run_over_all_sources_and_each_alert_was_told_once(
    house: Callable[[int], House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = 0
    for turn in turns("forty days of a schedule", 1, 100):
        home = house(turn)
        with hearing() as heard:
            monkeypatch.setenv("OTZYV_WEBHOOK", heard.address)
            for number in range(DAYS):
                home.live(number, FIRST + timedelta(number))
            last = FIRST + timedelta(DAYS)
            home.come_to_rest(DAYS, last)
            check_alerts(home, heard, last)
        faults += home.faults
        detail(f"days of {DAYS}; {faults} faults")
        once = tmp_path / f"once-{turn}"
        run(str(once), TABLES, source=Source(str(home.origin.folder)), author_key=SecretStr(KEY))
        for table in ("reviews", "attachments", "clean_text", *TABLES):
            pd.testing.assert_frame_equal(seen(home.lake, [table]), seen(Lake(once), [table]))
        assert home.lake.read(QUARANTINE).num_rows == 0, "what half-written files left there has gone with them"
        assert [finding.what for finding in examine(home.lake)] == []
