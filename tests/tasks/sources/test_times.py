"""Dates and times as they are written: read where they can be meant in one way, else by the setting or not at all."""

from __future__ import annotations

from datetime import UTC as ZULU
from datetime import date, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources.times import DATES, Dates, moment

MOSCOW = ZoneInfo("Europe/Moscow")

ALWAYS: list[tuple[Any, str]] = [
    # what is written, what it means in UTC where times without a zone are Moscow's
    ("2026-03-01 12:30:05 UTC", "2026-03-01 12:30:05"), ("2026-03-01 12:30:05.123 UTC", "2026-03-01 12:30:05.123"),
    ("2026-03-01 12:30:05+00", "2026-03-01 12:30:05"), ("2026-03-01T12:30:05.1234567Z", "2026-03-01 12:30:05.123456"),
    ("2026-03-01 12:30:05 GMT+3", "2026-03-01 09:30:05"), ("2026-03-01, 12:30", "2026-03-01 09:30"),
    ("01.03.2026", "2026-02-28 21:00"), ("1.3.2026", "2026-02-28 21:00"), ("13.03.2026", "2026-03-12 21:00"),
    ("01.03.2026 12:30", "2026-03-01 09:30"), ("01.03.2026 9:05:15", "2026-03-01 06:05:15"),
    ("01.03.2026, 12:30:15", "2026-03-01 09:30:15"), ("01.03.2026 г. в 12:30", "2026-03-01 09:30"),
    ("2026/03/01", "2026-02-28 21:00"), ("2026/3/1 12:30", "2026-03-01 09:30"), ("2026.03.01", "2026-02-28 21:00"),
    ("1 марта 2026 г., 12:30", "2026-03-01 09:30"), ("01 Мар 2026", "2026-02-28 21:00"),
    ("5 мая 2026 года в 00:10", "2026-05-04 21:10"), ("воскресенье, 1 марта 2026 г.", "2026-02-28 21:00"),
    ("Sun, 01 Mar 2026 12:00:00 +0300", "2026-03-01 09:00"), ("Mar 1, 2026 1:05 PM", "2026-03-01 10:05"),
    ("1-Mar-2026", "2026-02-28 21:00"), ("March 1, 2026, 12:05:00 AM", "2026-02-28 21:05"),
    (" 2026-03-01 ", "2026-02-28 21:00"), (date(2026, 3, 1), "2026-02-28 21:00"),
    (pd.Timestamp("2026-03-01 12:30:05.123456789"), "2026-03-01 09:30:05.123456"),
    (pd.Timestamp("2026-03-01 12:30:05.123456789", tz="UTC"), "2026-03-01 12:30:05.123456"),
]  # fmt: skip
BY_SETTING: list[tuple[Dates, Any, str]] = [
    ("day first", "01/03/2026 12:30", "2026-03-01 09:30"), ("day first", "01-03-2026", "2026-02-28 21:00"),
    ("day first", "01.03.26 12:30", "2026-03-01 09:30"), ("day first", "01.03.99", "1999-02-28 21:00"),
    ("month first", "3/1/2026 1:05:00 PM", "2026-03-01 10:05"), ("month first", "03/01/26", "2026-02-28 21:00"),
    ("month first", "03.01.2026", "2026-02-28 21:00"),
    ("epoch", 1772355600, "2026-03-01 09:00"), ("epoch", "1772355600", "2026-03-01 09:00"),
    ("epoch", 1772355600123, "2026-03-01 09:00:00.123"), ("epoch", 1772355600123456, "2026-03-01 09:00:00.123456"),
    ("epoch", 1772355600123456789, "2026-03-01 09:00:00.123456"), ("epoch", 1772355600.5, "2026-03-01 09:00:00.5"),
    ("epoch", "1772355600.25", "2026-03-01 09:00:00.25"), ("epoch", Decimal("1772355600"), "2026-03-01 09:00"),
    ("epoch", "20260301", "2026-02-28 21:00"),
    ("excel", 46082.5, "2026-03-01 09:00"), ("excel", "46082,5", "2026-03-01 09:00"),
    ("excel", 46082, "2026-02-28 21:00"),
]  # fmt: skip
NEVER: list[Any] = [
    "01/03/2026", "01-03-2026", "01.03.26", "32.01.2026", "01.13.2026", "2026/13/01", "1 мартобря 2026", "0 марта 2026",
    "01.03.2026 25:00", "01.03.2026 1:5", "13:00 PM", "01.03.2026 13:00 PM", "01.03", "1772355600", 1772355600, 46082.5,
    True, "2026-03-01 12:30:05 MSK", "٠١.٠٣.٢٠٢٦", "01.03/2026", "now", "1.2.3",
]  # fmt: skip


def utc(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=ZULU)


@pytest.mark.parametrize(("written", "meant"), ALWAYS)
def test_what_can_be_meant_in_one_way_is_read_whatever_the_setting(written: Any, meant: str) -> None:
    others: tuple[Dates, ...] = ("iso", "day first", "epoch", "excel")
    found = {dates: moment(written, MOSCOW, dates) for dates in others}
    assert found == dict.fromkeys(others, utc(meant))
    assert {type(one) for one in found.values()} == {datetime}


@pytest.mark.parametrize(("dates", "written", "meant"), BY_SETTING)
def test_the_setting_says_how_the_rest_is_meant(dates: Dates, written: Any, meant: str) -> None:
    assert moment(written, MOSCOW, dates) == utc(meant)


@pytest.mark.parametrize("written", NEVER, ids=str)
def test_what_may_be_meant_in_several_ways_is_not_guessed(written: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        moment(written, MOSCOW)


@pytest.mark.parametrize("written", ["0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00.000Z"])
def test_no_date_is_none(written: str) -> None:
    assert {moment(written, MOSCOW, dates) for dates in DATES} == {None}


@pytest.mark.parametrize("written", ["31.12.1989", "2 января 2100", datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))])
def test_a_time_out_of_range_is_told_from_none(written: Any) -> None:
    with pytest.raises(OverflowError):
        moment(written, MOSCOW)


times = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001


@settings(max_examples=200, deadline=None)
@given(times)
def test_every_way_of_writing_a_time_means_that_time(at: datetime) -> None:
    aware = at.replace(tzinfo=ZULU)
    seconds = int(aware.timestamp())
    ways: list[tuple[Dates, Any]] = [
        ("iso", at.isoformat()), ("iso", at.strftime("%d.%m.%Y %H:%M:%S")), ("iso", at.strftime("%Y/%m/%d %H:%M:%S")),
        ("iso", format_datetime(aware)), ("iso", at.strftime("%d %B %Y %H:%M:%S")),
        ("iso", at.strftime("%B %d, %Y %I:%M:%S %p")), ("day first", at.strftime("%d/%m/%Y %H:%M:%S")),
        ("month first", at.strftime("%m/%d/%Y %I:%M:%S %p")), ("epoch", seconds), ("epoch", str(seconds * 1000)),
        ("epoch", seconds * 10**6), ("epoch", seconds * 10**9), ("iso", pd.Timestamp(at)),
        ("excel", (aware - utc("1899-12-30")).total_seconds() / 86400),
    ]  # fmt: skip
    assert {moment(written, ZoneInfo("UTC"), dates) for dates, written in ways} == {aware}
