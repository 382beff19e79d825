"""The grid tells how far each table of each day is, stays short however many days there are, and trusts no text."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otzyv.tasks.backfill_grid import MOST_REASONS, MOST_ROWS, Grid, grid, markdown
from otzyv.tasks.outcomes import Outcome
from otzyv.tasks.plan import DayPlan, Plan, TablePlan

FIRST = date(2026, 3, 1)
TABLES = ("clean_text", "sentiment_mini")


def table(name: str, day: date, *why: str) -> TablePlan:
    return TablePlan(name, day, 3 if why else 0, 0, 1, 0, 3, why, 2.0, 0.5, "key")  # type: ignore[arg-type]


def plan(count: int, *, unchanged: int = 0) -> Plan:
    """That many days, of which the first ones are as they would be made."""
    days = []
    for n in range(count):
        day = FIRST + timedelta(n)
        why = ("content",) if n >= unchanged else ()
        days.append(DayPlan(day, tuple(table(name, day, *why) for name in TABLES), not why, None))
    known = tuple(day.day for day in days)
    return Plan("lake", "stale", TABLES[1:], tuple(days), (), known)


def states(told: Grid) -> dict[str, Counter[str]]:
    """How many days of each table are in which state."""
    found: dict[str, Counter[str]] = {name: Counter() for name in told.tables}
    for row in told.rows:
        for name, cell in zip(told.tables, row.cells, strict=True):
            found[name].update({cell.state if cell else "none": row.days})
    return found


ENDS = st.sampled_from(["left", "running", "done", "reused", "failed", "held", "unchanged"])


@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=40))
def test_each_table_of_each_day_is_told_as_it_is(ends: list[tuple[str, str]]) -> None:
    outcomes, left, running, held = list[Outcome](), set[date](), set[date](), dict[date, str]()
    expected: dict[str, Counter[str]] = {name: Counter() for name in TABLES}
    for n, both in enumerate(ends):
        day = FIRST + timedelta(n)
        if "left" in both or "running" in both:
            left.add(day)
        if "running" in both:
            running.add(day)
        if "held" in both:
            held[day] = "an odd figure"
        for name, end in zip(TABLES, both, strict=True):
            state = {"done": "published", "reused": "published", "failed": "failed", "held": "published"}.get(end)
            if state:
                computed = 0 if end == "reused" else 3
                error = "ValueError: no" if end == "failed" else None
                outcomes.append(Outcome(name, day, state, computed, 1, 1.0, 0.0, error, "run"))
            open_state = (
                "running" if day in running else "planned" if day in left else "held" if day in held else "reused"
            )
            expected[name][
                "failed" if end == "failed" else ("held" if day in held else end) if state else open_state
            ] += 1
    told = grid(plan(len(ends)), outcomes, left, running, held)
    assert states(told) == expected
    assert [row.last for row in told.rows] == sorted((row.last for row in told.rows), reverse=True)
    again = json.loads(told.as_json())
    assert sum(row["days"] for row in again["rows"]) == len(ends)


def test_days_in_which_nothing_is_to_be_told_apart_are_one_row() -> None:
    told = grid(plan(400, unchanged=150), [], {FIRST + timedelta(n) for n in range(150, 400)}, (), {})
    assert [(row.days, row.states[1]) for row in told.rows] == [(250, "planned"), (150, "reused")]
    assert told.rows[0].cells[1]
    assert (told.rows[0].cells[1].computed, told.rows[0].cells[1].seconds) == (750, 500.0)
    assert told.said == "400 days: 250 planned, 150 reused; 0.0 s"
    assert len(told.as_json()) < 2000


def test_the_artifact_is_bounded_also_where_no_two_days_are_alike() -> None:
    count = 4 * MOST_ROWS
    ended = [
        Outcome(
            TABLES[1],
            FIRST + timedelta(n),
            "failed" if n % 2 else "published",
            3,
            1,
            1.0,
            0.0,
            "E: no" if n % 2 else None,
        )
        for n in range(count)
    ]
    lines = markdown(grid(plan(count), ended, (), (), {}), "http://here/backfills/1").splitlines()
    assert sum(line.startswith(("| 2026", "| 2027")) for line in lines) == MOST_ROWS
    assert f"and {count - MOST_ROWS} older days" in lines
    assert f"- and {count // 2 - MOST_REASONS} more" in lines
    assert "[Each day by itself](http://here/backfills/1)" in lines


def test_what_an_error_says_breaks_out_of_no_cell() -> None:
    hostile = "E: | x | <script>alert(1)</script> [a](javascript:b)\n# head"
    ended = [Outcome(TABLES[1], FIRST, "failed", error=hostile)]
    said = markdown(grid(plan(1), ended, (), (), {}))
    assert "<script" not in said.replace("\\<script", "")
    assert "[a](" not in said.replace("\\[a\\](", "")
    assert "\n# head" not in said


def test_days_of_a_table_that_is_not_in_their_plan_stay_empty() -> None:
    first = plan(1).days[0]
    told = grid(
        Plan("lake", "failed", TABLES[1:], (DayPlan(FIRST, first.tables[:1], False, None),), (), (FIRST,)),
        [],
        {FIRST},
        (),
        {},
    )
    cells: Any = told.rows[0].cells
    assert (cells[0].state, cells[1]) == ("planned", None)


def test_of_very_many_days_those_that_are_alike_are_one_row_of_the_artifact_and_not_of_the_page() -> None:
    count = MOST_ROWS + 50
    ended = [Outcome(name, FIRST + timedelta(n), "published", 3, 1, 1.0) for n in range(count) for name in TABLES]
    told = grid(plan(count), ended, (), (), {})
    assert len(told.rows) == count
    lines = [line for line in markdown(told).splitlines() if line.startswith("| 2026")]
    assert lines == [
        f"| 2026-03-01 to {FIRST + timedelta(count - 1)} ({count}) | done {3 * count} | done {3 * count} |"
    ]


def test_a_table_without_work_is_held_once_the_day_is_made_and_not_before() -> None:
    day = DayPlan(FIRST, (table(TABLES[0], FIRST, "content"), table(TABLES[1], FIRST)), False, "odd")
    asked = Plan("lake", "stale", TABLES[1:], (day,), (), (FIRST,))
    assert grid(asked, [], {FIRST}, (), {FIRST: "odd"}).rows[0].states == ("planned", "reused")
    made = [Outcome(TABLES[0], FIRST, "published", 3, 1)]
    assert grid(asked, made, (), (), {FIRST: "odd"}).rows[0].states == ("held", "held")
