"""A range of days, or a number of them, that can only be a slip is one line at once."""

from __future__ import annotations

import time
import tracemalloc
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from otzyv.flows.backfill import Backfill
from otzyv.flows.daily import daily
from otzyv.flows.days import MOST, between, until
from otzyv.flows.settings import load
from otzyv.tasks.extractors.settings import WrongSettings
from otzyv.tasks.lake import Lake
from tests.flows.command import command

ALL_OF_TIME = ("--from", "0001-01-01", "--to", "9999-12-31")
TAKERS = {
    "run": ("--source", "."),
    "ingest": ("--source", "."),
    "features": (),
    "plan": (),
    "backfill": (),
    "fit": ("text_tfidf",),
    "adapt": ("--base", "text_rubert_tiny2"),
    "quality": (),
    "export": ("--tables", "reviews", "--out", "x.csv"),
}


@pytest.mark.parametrize("name", TAKERS)
def test_all_of_time_is_refused_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "a key of tests")
    Lake.create(tmp_path / "lake")
    done = command(name, *TAKERS[name], "--lake", tmp_path / "lake", *ALL_OF_TIME)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: --from and --to: 0001-01-01 to 9999-12-31 are 3,652,059 days; give at most 36,525, which are a hundred "
        "years"
    )


def test_the_api_takes_neither_all_of_time_nor_a_daily_run_over_it() -> None:
    tracemalloc.start()
    clock = time.monotonic()
    with pytest.raises(ValidationError, match="3,652,059 days; give at most"):
        Backfill(from_day=date.min, to_day=date.max)
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
