"""The quality page: nothing from outside, every value escaped, and figures that add up."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from otzyv.tasks.quality.pages import (
    MOST_DAYS,
    Chart,
    Page,
    TableLine,
    histogram_chart,
    label_chart,
    refused_chart,
    render,
    status_chart,
)

DAY = date(2026, 3, 1)
HOSTILE = "<script>alert(1)</script>\"'&<img src=//example.com/x>"


def line(**fields: Any) -> TableLine:
    said: dict[str, Any] = {
        "table": "sentiment_mini", "day": DAY, "state": "published", "rows": 5, "computed": 3, "reused": 2,
        "invalid": 0, "seconds": 1.25, "status": {"ok": 4, "empty": 1}, "checks_passed": 7, "checks_failed": (),
        "error": None,
    }  # fmt: skip
    return TableLine(**said | fields)


def page(*lines: TableLine, charts: list[Chart] | None = None, **fields: Any) -> Page:
    said: dict[str, Any] = {
        "lake": "/lake", "made_at": datetime(2026, 3, 2, tzinfo=UTC),
        "accounting": {"records_in": 9, "accepted": 5, "quarantined": 3, "deduplicated": 1, "suppressed": 0},
        "days": [(DAY, "released")], "lines": lines or (line(),), "charts": charts or [],
    }  # fmt: skip
    return Page(**said | fields)


class Outside(HTMLParser):
    """Collects the tags of a page, and every attribute that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetches: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetches += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


@pytest.mark.parametrize("field", ["table", "state", "error", "lake", "chart", "key", "status", "check", "verdict"])
def test_a_hostile_value_stays_text(field: str) -> None:
    chart = Chart(HOSTILE if field == "chart" else "t", "n", [("b", [(HOSTILE if field == "key" else "k", 1.0)])])
    shown = line(
        **{field: HOSTILE} if field in ("table", "state", "error") else {},
        **{"status": {HOSTILE: 1}} if field == "status" else {},
        **{"invalid": 1, "checks_failed": (HOSTILE,)} if field == "check" else {},
    )
    fields = {"lake": HOSTILE} if field == "lake" else {"days": [(DAY, HOSTILE)]} if field == "verdict" else {}
    text = render(page(shown, charts=[chart], **fields))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not {"script", "img", "link", "iframe", "object"} & Outside(text).tags


def test_nothing_is_fetched_and_nothing_may_be() -> None:
    text = render(page(line(), charts=[status_chart([line()]), refused_chart({"json": 2}, DAY)]))
    assert Outside(text).fetches == []
    assert not re.search(r"https?:|url\(|@import", text)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in text


def test_tables_are_summed_over_days_in_the_order_they_were_made() -> None:
    other = date(2026, 3, 2)
    lines = [line(table="clean_text"), line(), line(table="clean_text", day=other, state="unchanged"), line(day=other)]
    first, second = page(*lines).totals
    assert (first.table, second.table) == ("clean_text", "sentiment_mini")
    assert first.states == {"published": 1, "unchanged": 1}
    assert first.status == {"ok": 8, "empty": 2}
    assert [second.sum(figure) for figure in ("rows", "computed", "reused", "seconds")] == [10, 6, 4, 2.5]
    assert page(*lines).checks_passed == 28


def test_what_failed_stands_first_and_opens_the_days() -> None:
    failing = line(state="failed", error="MissingWeights: no file", checks_failed=("embedding.unit",), invalid=2)
    text = render(page(line(table="clean_text"), failing))
    assert text.index("MissingWeights") < text.index("In and out")
    assert "sentiment_mini 2026-03-01: 2 rows failed embedding.unit" in text
    assert "<details open>" in text
    assert "Every table passed" in render(page())
    assert "<details>" in render(page())


def test_the_parts_of_a_bar_lie_end_to_end_and_the_longest_bar_fills_the_width() -> None:
    days = {date(2026, 3, n): {"label.positive": 2.0 * n, "label.negative": 1.0, "rows": 99.0} for n in (1, 2, 3)}
    drawn = list(label_chart("t", "n", "label", days).drawn())
    assert [(label, total) for label, total, _ in drawn] == [("2026-03-01", 3), ("2026-03-02", 5), ("2026-03-03", 7)]
    for _, total, segments in drawn:
        assert [part.key for part in segments] == ["positive", "negative"]
        assert segments[0].start == 0
        assert segments[1].start == pytest.approx(segments[0].length)
        assert sum(part.length for part in segments) == pytest.approx(total / 7)
        assert sum(part.share for part in segments) == pytest.approx(1)


def test_more_than_a_month_of_days_is_one_bar() -> None:
    days = {date.fromordinal(DAY.toordinal() + n): {"label.positive": 1.0} for n in range(MOST_DAYS + 1)}
    assert label_chart("t", "n", "label", days).bars == [("the days of this page", [("positive", MOST_DAYS + 1.0)])]


def test_a_histogram_shows_its_empty_bins_too() -> None:
    days = {DAY: {"chars.bin.0": 1.0, "chars.bin.3": 4.0, "chars.p50": 5.0}, date(2026, 3, 2): {"chars.bin.3": 1.0}}
    bars = histogram_chart("t", "n", "chars", days).bars
    assert [(label, parts[0][1]) for label, parts in bars] == [("0", 1), ("1", 0), ("2-3", 0), ("4-7", 5)]
    assert histogram_chart("t", "n", "chars", {}).bars == []


def test_a_run_without_anything_still_gives_a_page() -> None:
    empty = [status_chart([]), refused_chart({}, DAY), label_chart("t", "n", "label", {DAY: {}})]
    assert "Quality of a run" in render(page(lines=(), charts=empty, accounting=None, days=[]))
