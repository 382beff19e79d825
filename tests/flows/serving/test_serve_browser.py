"""Days backfilled from Prefect's pages, as a data engineer does it: in Chromium, by the form, with the mouse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OFFLINE = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync")  # fmt: skip
APRIL = [date(2026, 4, 1) + timedelta(days=n) for n in range(30 if os.environ.get("OTZYV_TORTURE") else 8)]
TABLES = {"reviews", "attachments", "clean_text", "sentiment_mini", "image_pixels"}
CARD = "xpath=ancestor::*[contains(., 'Order (Optional)')][1]"
"""The part of the form that holds a field and all its neighbours."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


@pytest.fixture
def page(served: Served) -> Iterator[Page]:
    """The first page, with the login given to it, of a browser that reaches this machine alone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        page = browser.new_page(base_url=served.url, viewport={"width": 1400, "height": 900})
        page.route(lambda url: not url.startswith(served.url), lambda route: route.abort())
        page.set_default_timeout(60_000)
        page.goto("/")
        page.get_by_placeholder("admin:pass").fill(served.login)
        page.get_by_role("button", name="Login").click()
        page.get_by_role("link", name="Deployments").wait_for()
        yield page
        browser.close()


def test_days_are_backfilled_from_the_form_and_a_second_time_nothing_is_computed(served: Served, page: Page) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    fill(served, page, "again")
    picture(page.get_by_label("From (Optional)").locator(CARD), "backfill-form")
    first = submit(page)
    ended = served.completed(first)
    assert ended["parameters"] == {
        "lake": served.lake.uri,
        "request": {
            "from_day": "2026-04-01",
            "to_day": str(APRIL[-1]),
            "days": [],
            "extractors": ["sentiment_mini", "image_pixels"],
            "others": [],
            "what": "again",
            "dry_run": False,
            "days_at_once": 2,
            "order": "oldest first",
        },
    }
    released = april(served)
    assert list(released) == APRIL
    assert all({table.table for table in release.tables} == TABLES for release in released.values())
    assert served.days_made(APRIL)[0] in APRIL[:2], "oldest first, two at once"

    open_artifact(page, first, "backfill-plan")
    expect(page.get_by_text(f"{len(APRIL)} of {len(APRIL)} days have something to do")).to_be_visible()
    picture(page, "backfill-plan")
    open_artifact(page, first, "backfill-progress")
    expect(page.get_by_text("100%")).to_be_visible()
    open_artifact(page, first, "backfill-result")
    expect(page.get_by_role("cell", name="2026-04-01").first).to_be_visible()
    picture(page, "backfill-result")
    page.get_by_role("link", name="run", exact=True).first.click()
    expect(page.get_by_text("features 2026-04-01").first).to_be_visible()

    fill(served, page, "stale")
    second = submit(page)
    served.completed(second)
    open_artifact(page, second, "backfill-plan")
    expect(page.get_by_text(f"0 of {len(APRIL)} days have something to do")).to_be_visible()
    assert april(served) == released


def april(served: Served) -> dict[date, Any]:
    return {day: release for day, release in served.lake.releases().items() if day in APRIL}


def fill(served: Served, page: Page, what: str) -> None:
    """Ask for April and two extractors in the backfill's form."""
    from playwright.sync_api import expect

    page.goto("/")
    page.get_by_role("link", name="Deployments").click()
    page.get_by_role("link", name=served.names.deployment("backfill"), exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    for label, day in (("From", APRIL[0]), ("To", APRIL[-1])):
        field = page.get_by_label(f"{label} (Optional)")
        field.click()
        page.get_by_label("Date (yyyy-MM-dd)").fill(str(day))
        page.keyboard.press("Escape")
        expect(page.get_by_label("Date (yyyy-MM-dd)")).to_have_count(0)  # the calendar is closed
        expect(field).to_contain_text(f"{day:%B} {day.day}")
    page.get_by_label("Select ExtractorName").click()
    for name in ("sentiment_mini", "image_pixels"):
        page.get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    for label, option in (("What", what), ("Order", "oldest first")):
        expect(page.get_by_role("listbox")).to_have_count(0)  # the one before is closed
        page.get_by_label(f"Select {label}").click()
        page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.get_by_label("Days at once").fill("2")


def submit(page: Page) -> str:
    """The started run's id."""
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="View run").click()
    page.get_by_role("tab", name="Artifacts").wait_for()
    return page.url.rpartition("/")[2].partition("?")[0]


def open_artifact(page: Page, run: str, key: str) -> None:
    """From a run's page to the newest version of one of its artifacts."""
    page.goto(f"/v2/runs/flow-run/{run}")
    page.get_by_role("tab", name="Artifacts").click()
    page.locator(f"a[href$='/artifacts/key/{key}']").first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    page.get_by_role("tab", name="Artifact", exact=True).wait_for()


def picture(shown: Page | Locator, name: str) -> None:
    """Taken only when asked for: OTZYV_TEST_PICTURES=docs renews those of the documents."""
    if folder := os.environ.get("OTZYV_TEST_PICTURES"):
        shown.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")
