"""What is told of a table's day is how its last attempt ended, in whatever order a table's files are listed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from otzyv.tasks.lake import Lake
from otzyv.tasks.outcomes import outcomes
from otzyv.tasks.pipeline.make import TableRun
from otzyv.tasks.record import record

DAYS = (date(2026, 3, 1), date(2026, 3, 2))
BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("noted", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_last_attempt_is_told_in_whatever_order_they_were_noted(tmp_path: Path, noted: tuple[int, ...]) -> None:
    lake = Lake.create(tmp_path)
    for turn in noted:
        at = BEGAN + timedelta(minutes=turn)
        error = None if turn == 2 else f"OSError: try {turn}"
        for day in DAYS:
            run = TableRun("text_toy", day, "superseded" if turn == 2 else "failed", at, error=error)
            record.fn(lake.uri, [run])
    found = outcomes.fn(lake.uri, None, None, BEGAN)
    assert [(each.day, each.state, each.error) for each in found] == [(day, "superseded", None) for day in DAYS]
    assert not outcomes.fn(lake.uri, None, None, BEGAN + timedelta(minutes=3))
