"""Runs beyond the first 200 count as well, wherever this project asks Prefect's server for runs."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.states import Completed, Scheduled

import otzyv.flows
import otzyv.tasks
from otzyv.flows.serving.serve import _await_schedule
from otzyv.tasks import every_run


@flow(name="often run")
def often() -> None:
    """Is never run: its runs are only noted."""


def test_each_run_is_seen_once_however_many_there_are(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    page = 5
    monkeypatch.setattr(every_run, "PAGE", page)
    many = (0, 1, page - 1, page, page + 1, 2 * page, 2 * page + 3)
    with get_client(sync_client=True) as client:
        made = [
            client.create_flow_run(often, state=Completed(), tags=[f"{n} runs" for n in many if at < n]).id
            for at in range(max(many))
        ]
        for n in many:
            seen = [
                run.id for run in every_run.every_run(client, FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{n} runs"])))
            ]
            assert sorted(seen) == sorted(made[:n])


def test_the_next_run_is_found_after_others_have_ended(prefect_server: None) -> None:
    """A served lake starts again after more daily runs than one answer holds."""
    told: list[str] = []
    coming = datetime.now(UTC) + timedelta(days=1)
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(often), "of a lake")
        for _ in range(2):
            run = client.create_flow_run_from_deployment(deployment, state=Completed())
        client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=coming))
        assert run.deployment_id == deployment
    _await_schedule(str(deployment), told.append)
    assert told == [f"next daily run: {coming:%Y-%m-%d %H:%M} UTC"]


def test_runs_are_asked_for_without_a_limit_by_nothing() -> None:
    """Prefect's client answers with the first 200 and says nothing of the others."""
    files = [
        file for package in (otzyv.flows, otzyv.tasks) for root in package.__path__ for file in Path(root).rglob("*.py")
    ]
    calls = [
        (file, node.lineno, {each.arg for each in node.keywords})
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "read_flow_runs"
    ]
    assert calls
    assert [call for call in calls if "limit" not in call[2]] == []
