"""A range of days, or a number of them, that can only be a slip is one line at once."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule

from otzyv.flows.backfill import Backfill
from otzyv.flows.daily import daily
from otzyv.flows.days import MOST, before, between, until
from otzyv.flows.settings import load
from otzyv.tasks.extractors.settings import WrongSettings
from otzyv.tasks.lake import Lake
from otzyv.tasks.plan import NoSuchDays
from tests.flows.command import Otzyv, command, review

ALL_OF_TIME = ("--from", "0001-01-01", "--to", "9999-12-31")
SOURCES = {"run": ("--source", "."), "ingest": ("--source", ".")}
OF_THE_LAKE = {
    "features": ("--extractors", "sentiment_mini"),
    "plan": ("--extractors", "sentiment_mini"),
    "backfill": ("--extractors", "sentiment_mini", "--dry-run"),
    "quality": (),
    "export": ("--tables", "reviews", "--out", "x.csv"),
}
LEARN = {"fit": ("text_tfidf",), "adapt": ("--base", "text_rubert_tiny2")}


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "a key of tests")
    return tmp_path


@pytest.mark.parametrize("name", SOURCES)
def test_all_of_time_is_no_range_of_a_sources_files(name: str, somewhere: Path) -> None:
    done = command(name, *SOURCES[name], "--lake", somewhere / "lake", *ALL_OF_TIME)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: --from and --to: 0001-01-01 to 9999-12-31 are 3,652,059 days; give at most 36,525, which are a hundred "
        "years"
    )


@pytest.mark.parametrize("name", OF_THE_LAKE | LEARN)
def test_all_of_time_of_a_lake_without_days_is_refused_in_one_line(name: str, somewhere: Path) -> None:
    Lake.create(somewhere / "lake")
    done = command(name, *(OF_THE_LAKE | LEARN)[name], "--lake", somewhere / "lake", *ALL_OF_TIME)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == ("Error: --from and --to: the lake has no day from 0001-01-01 to 9999-12-31")


def test_all_of_time_of_a_lake_is_the_days_that_it_has(otzyv: Otzyv, somewhere: Path) -> None:
    otzyv.write("r.jsonl", [review(str(n), "Хорошо", day=f"20{n + 10}-03-01") for n in range(5)])
    assert len(otzyv.run()["days"]) == 5
    for name, options in OF_THE_LAKE.items():
        asked = (name, *options, "--lake", otzyv.lake, *(("--json",) if name != "quality" else ()))
        whole, ranged = command(*asked), command(*asked, *ALL_OF_TIME)
        assert ranged.exit_code == whole.exit_code == 0, ranged.stderr
        if name != "quality":
            assert _without_seconds(json.loads(ranged.stdout)) == _without_seconds(json.loads(whole.stdout))


def _without_seconds(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _without_seconds(value) for key, value in said.items() if "seconds" not in key}
    return [_without_seconds(one) for one in said] if isinstance(said, list) else said


def test_all_of_time_costs_the_api_nothing_and_no_daily_run_looks_over_it(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    tracemalloc.start()
    clock = time.monotonic()
    with pytest.raises(NoSuchDays, match="has no day from 0001-01-01 to 9999-12-31"):
        Backfill(from_day=date.min, to_day=date.max).asked(lake)
    for count in (0, -7, MOST + 1, 10**30):
        with pytest.raises(Exception, match="catch_up"):
            daily.validate_parameters({"lake": "L", "catch_up": count})
    assert time.monotonic() - clock < 5
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    bounds = daily.parameters.properties["catch_up"]
    assert (bounds["minimum"], bounds["maximum"]) == (1, MOST)


def test_ranges_are_the_days_asked_for_and_end_where_the_calendar_does() -> None:
    assert between(date(2024, 2, 28), date(2024, 3, 1)) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert len(between(date(1926, 3, 2), date(2026, 3, 1))) == MOST
    assert between(date.max, date.max) == [date.max]
    assert until(date(2026, 3, 1), 2) == [date(2026, 3, 1), date(2026, 2, 28)]
    assert until(date(1, 1, 2), 7) == [date(1, 1, 2), date(1, 1, 1)]


@pytest.mark.parametrize("said", ["0", "-1", str(MOST + 1), "1e99", str(10**40)])
def test_catch_up_has_its_bounds_in_the_settings(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_CATCH_UP", said)
    with pytest.raises(WrongSettings, match=r"^settings: catch_up: "):
        load()


@pytest.mark.parametrize("cron", ["0 0 * * *", "30 0 * * *", "0 3 * * *", "0 22 * * *"])
@pytest.mark.parametrize(
    ("zone", "year"),
    [("Africa/Cairo", 2026), ("America/Santiago", 2026), ("Asia/Beirut", 2026), ("America/Sao_Paulo", 2017),
     ("Asia/Tehran", 2021), ("Europe/Moscow", 2014), ("Europe/Berlin", 2026), ("Pacific/Auckland", 2026)],
)  # fmt: skip
def test_the_runs_of_a_year_stand_for_one_day_after_the_other_however_clocks_are_put(
    zone: str, year: int, cron: str
) -> None:
    here = ZoneInfo(zone)
    schedule = CronSchedule(cron=cron, timezone=zone)
    starts = asyncio.run(schedule.get_dates(n=365, start=datetime(year, 1, 1, 12, tzinfo=here)))
    days = [before(start, here) for start in starts]
    assert days == [days[0] + timedelta(days=n) for n in range(365)]
    assert days[0] == (date(year - 1, 12, 31) if cron == "0 22 * * *" else date(year, 1, 1))
