"""What is measured of a table is there in the end, even if the run that published it died before."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from otzyv.schemas.tables import QUALITY, RUNS
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.record import record
from tests.tasks.reviews import bring

DAY = date(2026, 3, 1)


def test_what_a_dead_run_published_is_measured_by_the_next_and_then_left_alone(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    bring(lake, {DAY: {"a": "отлично", "b": "ужасно"}})
    died = make(lake, CLEANING, DAY)
    again = make(lake, CLEANING, DAY)
    assert (died.state, again.state) == ("published", "unchanged")
    record.fn(lake.uri, [again])
    assert set(lake.read(QUALITY, DAY)["run_key"].to_pylist()) == {died.run_key}
    before = lake.snapshot(QUALITY).version, lake.snapshot(RUNS).version
    record.fn(lake.uri, [make(lake, CLEANING, DAY)])
    assert (lake.snapshot(QUALITY).version, lake.snapshot(RUNS).version) == before
