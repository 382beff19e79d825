"""Prefect's database forgets what our flows did long ago, and nothing of anybody else's."""

from __future__ import annotations

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from otzyv.tasks.old_runs import forget_old_runs


@flow(name="ours of long ago")
def ours() -> None:
    pass


@flow(name="somebody else's")
def theirs() -> None:
    pass


def runs() -> list[str]:
    with get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=[ours.name, theirs.name]))
        names = {one.id: one.name for one in client.read_flows(flow_filter=named)}
        return sorted(names[run.flow_id] for run in client.read_flow_runs(flow_filter=named))


def test_old_runs_of_our_flows_go_and_no_others(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        ours()
    theirs()
    there = [ours.name] * 3 + [theirs.name]
    assert runs() == there
    assert forget_old_runs([ours.name], 90) == 0
    assert runs() == there
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.ru/api")
    assert forget_old_runs.fn([ours.name], -1) == 0
    monkeypatch.undo()
    assert runs() == there
    assert forget_old_runs([ours.name], -1) == 3
    assert runs() == [theirs.name]
