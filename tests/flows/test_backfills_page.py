"""The page of a backfill beside Prefect's: for whoever has the login, with nothing in it that a browser would run."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any, get_args

import pytest

from otzyv.flows.server.backfills import CELLS, STATES, Backfills
from otzyv.flows.server.guard import Guard, origins
from otzyv.tasks import backfill_grid
from tests.flows.attacks import Caller
from tests.flows.test_guard import scope

RUN = "018f2a4e-0000-7000-8000-000000000001"
HOSTILE = '"><script>alert(1)</script>{{ 7*7 }}'


def cell(state: str, why: str | None = None, run: str | None = None) -> dict[str, Any]:
    return {"state": state, "why": why, "computed": 4, "reused": 1, "seconds": 1.5, "money": 0.0, "flow_run": run}


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"first": f"day {n}", "last": f"day {n}", "days": 1, "cells": [cell("done", None, RUN), None]}
        for n in range(count)
    ]


def page(cells: Any, path: str = f"/backfills/{RUN}", *, state: str = "RUNNING") -> tuple[int, str]:
    async def ask(asked: str, body: dict[str, Any]) -> Any:
        if asked == "artifacts/filter":
            assert body["artifacts"] == {"flow_run_id": {"any_": [RUN]}, "type": {"any_": ["result"]}}
            data = cells if isinstance(cells, str) else json.dumps(cells)
            other = {"description": None, "data": "another result"}
            return [other, {"description": f"{CELLS}, as of now", "data": data}] if cells else [other]
        assert body["flows"] == {"name": {"any_": ["backfill"]}}
        told = {"state_type": state, "state_name": state.title(), "start_time": "2026-03-01T10:00:00+00:00"}
        return [{"id": RUN, "name": HOSTILE, **told}]

    return asyncio.run(Backfills(ask, "otzyv").page(path))


def told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"lake": HOSTILE, "tables": ["clean_text", HOSTILE], "rows": rows, "said": HOSTILE, "going": True, "more": 0}


def test_no_name_and_no_error_is_more_than_text() -> None:
    hostile = [
        {"first": HOSTILE, "last": "x", "days": 2, "cells": [cell("failed", HOSTILE, HOSTILE), cell(HOSTILE, HOSTILE)]}
    ]
    for shown in (page(told(hostile)), page(None, "/backfills")):
        assert shown[0] == 200
        assert "<script" not in shown[1]
        assert "{{ 7*7 }}" in shown[1], "it is shown as it is"
        assert not re.findall(r'href="(?!/)', shown[1])
        assert "default-src 'none'" in shown[1]


def test_a_cell_leads_to_its_run_and_the_page_is_renewed_while_the_backfill_goes_on() -> None:
    status, shown = page(told(rows(2)))
    assert status == 200
    assert shown.count(f'<a href="/runs/flow-run/{RUN}">done 4</a>') == 2
    assert 'http-equiv="refresh"' in shown
    assert 'title="clean_text: done; 4 computed, 1 reused; 1.5 s"' in shown
    assert 'http-equiv="refresh"' not in page(told(rows(2)), state="FAILED")[1]


def test_a_run_that_has_died_makes_no_day() -> None:
    running = told([{"first": "d", "last": "d", "days": 1, "cells": [cell("running"), None]}])
    assert "running 4" in page(running)[1]
    assert "running 4" not in page(running, state="CRASHED")[1]
    assert "planned 4" in page(running, state="CRASHED")[1]


def test_hundreds_of_days_are_one_page() -> None:
    status, shown = page(told(rows(800)))
    assert status == 200
    assert shown.count("<tr>") == 801
    assert len(shown) < 800 * 600


@pytest.mark.parametrize("cells", [None, "not JSON", "[]", "3"])
def test_a_run_without_a_grid_has_no_page(cells: Any) -> None:
    assert page(cells)[0] == 404
    assert page(told([]), "/backfills/018f2a4e-0000-7000-8000-00000000000")[0] == 200, "which is the list"


def test_whoever_has_no_login_is_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "otzyv:a secret made up for tests")
    sent: list[Any] = []

    async def app(*_: Any) -> None:
        raise AssertionError("strangers ask nothing of the server behind")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    guess = base64.b64encode(b"otzyv:a guess").decode()
    for says in ((), (("Authorization", f"Basic {guess}"),)):
        sent.clear()
        asked = scope(Caller("own", ("127.0.0.1:4200",), None, says), "GET", f"/backfills/{RUN}")
        asyncio.run(Guard(app, origins(4200))(asked, receive, send))
        start, body = sent
        assert start["status"] == 401
        assert (b"www-authenticate", b'Basic realm="otzyv", charset="UTF-8"') in start["headers"]
        assert (b"x-frame-options", b"DENY") in start["headers"]
        assert RUN.encode() not in body["body"]


def test_the_page_reads_what_a_backfill_writes() -> None:
    assert (backfill_grid.CELLS, get_args(backfill_grid.State)) == (CELLS, STATES)


@pytest.mark.parametrize(
    "cells",
    [
        {"rows": 3},
        {"rows": [{}]},
        {},
        told([{"first": "d", "last": "d", "days": "many", "cells": [cell("done")]}]),
        told([{"first": "d", "last": "d", "days": 1, "cells": [{"state": {}}]}]),
        told([{"first": "d", "last": "d", "days": 1, "cells": [cell("done")] * 9}]),
        told([{"first": "d", "last": "d", "days": 1, "cells": [cell("done") | {"seconds": "long"}, None]}]),
        told(rows(1)) | {"tables": None},
        {name: value for name, value in told(rows(1)).items() if name != "said"},
    ],
)
def test_a_grid_that_is_none_is_no_page_and_no_fault(cells: Any) -> None:
    assert page(cells)[0] in (404, 200)
    if "rows" in cells:
        assert page(cells)[0] == 404
