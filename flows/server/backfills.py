"""Pages that show the progress of backfills by day and table: ``/backfills`` is the list, each backfill has a page."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, TemplateError

from otzyv.flows.server.health import Ask

PAGES = "PREFECT__OTZYV_PAGES"
"""The environment variable that tells runs that their server has these pages."""
PATH = re.compile(r"/backfills(?:/(?P<run>[0-9a-f-]{36}))?/?")
CELLS = "backfill cells"
"""The beginning of the description of a grid's artifact, as ``tasks.backfill_grid`` writes it."""
MOST_LISTED, MOST_ATTEMPTS = 50, 5
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
STATES = ("planned", "running", "done", "reused", "held", "failed")


class Backfills:
    """Renders the pages. Everything on them comes from other processes, and is escaped."""

    def __init__(self, ask: Ask, tag: str) -> None:
        """``tag``: the tag of our runs."""
        self.ask, self.tag = ask, tag

    async def page(self, path: str) -> tuple[int, str]:
        """The status code and the HTML of a page."""
        asked = PATH.fullmatch(path)
        run = asked and asked["run"]
        if run is None:
            runs = await self._runs({"tags": {"all_": [self.tag]}})
            return 200, _template().render(runs=runs, run=None, grid=None, going=False)
        found = await self._runs({"id": {"any_": [run]}}) if _is_id(run) else []
        cells = await self._cells(run) if found else None
        if cells is None:
            return 404, _template().render(runs=None, run=None, grid=None, going=False)
        going = found[0]["state_type"] not in OVER
        try:
            grid = _grid(cells, running=found[0]["state_type"] == "RUNNING")
            return 200, _template().render(runs=None, run=found[0], grid=grid, going=going)
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            TemplateError,
        ):  # others may have written it
            return 404, _template().render(runs=None, run=None, grid=None, going=False)

    async def _runs(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Started backfills, the newest first."""
        return list(
            await self.ask(
                "flow_runs/filter",
                {
                    "flow_runs": {**wanted, "start_time": {"is_null_": False}},
                    "flows": {"name": {"any_": ["backfill"]}},
                    "sort": "START_TIME_DESC",
                    "limit": MOST_LISTED,
                },
            )
        )

    async def _cells(self, run: str) -> Mapping[str, Any] | None:
        wanted = {"flow_run_id": {"any_": [run]}, "type": {"any_": ["result"]}}
        asked = {"artifacts": wanted, "sort": "UPDATED_DESC", "limit": MOST_ATTEMPTS}
        found = [
            each for each in await self.ask("artifacts/filter", asked) if str(each["description"]).startswith(CELLS)
        ]
        try:
            told = json.loads(found[0]["data"]) if found else None
        except (ValueError, TypeError, RecursionError):
            return None
        return told if isinstance(told, dict) else None


def _grid(told: Mapping[str, Any], *, running: bool) -> dict[str, Any]:
    """The grid as the page shows it. ``running``: whether the run is active; otherwise no day counts as running."""
    rows, counts = [], Counter[str]()
    for row in told["rows"]:
        cells = [each and _cell(each, running=running) for each in row["cells"]]
        counts.update({cell["state"]: row["days"] for cell in cells if cell})
        known = [cell for cell in cells if cell]
        rows.append({**row, "cells": cells, "seconds": _sum(known, "seconds"), "money": _sum(known, "money")})
    return {**told, "rows": rows, "counts": {state: counts[state] for state in STATES if counts[state]}}


def _cell(told: Mapping[str, Any], *, running: bool) -> dict[str, Any]:
    state = told["state"] if told["state"] in STATES else "planned"
    if state == "running" and not running:
        state = "planned"
    run = told["flow_run"] if _is_id(told["flow_run"]) and state not in ("planned", "running") else None
    return {**told, "state": state, "flow_run": run}


def _sum(cells: list[dict[str, Any]], name: str) -> float | None:
    known = [cell[name] for cell in cells]
    return None if None in known else sum(known)


def _is_id(text: object) -> bool:
    try:
        return str(UUID(str(text))) == text
    except ValueError:
        return False


@cache
def _template() -> Template:
    pages = PackageLoader("otzyv.flows.server", "")
    return Environment(loader=pages, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(
        "backfills.html"
    )
