"""Names of runs: as the form gives a request and as a flow has read it they are the same."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from otzyv.flows.backfill import Backfill, DayOrder
from otzyv.flows.run_names import asked, ordered

DAYS = [date(2026, 3, day) for day in (4, 1, 2, 3, 5)]


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({}, "all days, stale"),
        ({"from_day": "2026-03-01", "to_day": "2026-03-03"}, "2026-03-01 to 2026-03-03, stale"),
        ({"from_day": "2026-03-01", "to_day": "2026-03-01", "dry_run": True}, "2026-03-01, stale, dry run"),
        ({"days": ["2026-03-02", "2026-03-01"], "what": "again"}, "2026-03-01, 2026-03-02, again"),
        ({"days": list(map(str, DAYS))}, "2026-03-01, 2026-03-02, 2026-03-03 and 2 more days, stale"),
    ],
)
def test_a_backfill_is_named_by_what_is_asked_for(request_: dict[str, Any], name: str) -> None:
    assert asked({"request": request_}) == asked({"request": Backfill.model_validate(request_)}) == name


def test_a_part_of_a_backfill_is_named_by_its_days() -> None:
    orders = [DayOrder(day=day, extractors=[]) for day in DAYS]
    assert ordered({"orders": orders, "again": True}) == "2026-03-01 to 2026-03-05 (5 days), again"
    assert ordered({"orders": [order.model_dump(mode="json") for order in orders[:1]]}) == "2026-03-04"
