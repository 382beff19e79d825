"""Flows run against one server for the whole session, in an environment that holds no settings but the author key."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, Task
from prefect.states import Completed, Failed

from otzyv.flows import alerts, daily, features
from otzyv.flows.server import prefect_server as server
from otzyv.tasks import artifact, daily_artifact, ingest_artifact
from otzyv.tasks.unvisited import visited
from tests.flows.command import Otzyv


@pytest.fixture
def otzyv(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Otzyv:
    """The command, with a lake and a source folder of its own."""
    for name in [name for name in os.environ if name.startswith("OTZYV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "a key for tests")
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    (tmp_path / "source").mkdir()
    return Otzyv(tmp_path / "lake", tmp_path / "source")


@pytest.fixture
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows and tasks as the plain functions that they are made of: for tests of what these do, in half the time."""
    artifacts = (artifact.artifact, daily_artifact.daily_artifact, ingest_artifact.ingest_artifact)
    shown = {each.name for each in artifacts}  # on pages of Prefect's alone

    def called(one: Any, *given: Any, return_state: bool = False, **named: Any) -> Any:
        if one.name in shown:
            return None
        try:
            result = one.fn(*map(visited, given), **named)
        except Exception as error:
            if not return_state:
                raise
            return Failed(data=error)
        return Completed(data=result) if return_state else result

    monkeypatch.setattr(Flow, "__call__", called)
    monkeypatch.setattr(Task, "__call__", called)
    for module in (features, daily, alerts):
        monkeypatch.setattr(module, "get_run_logger", logging.getLogger)
    monkeypatch.setattr(alerts, "emit_event", lambda *_, **__: None)
    monkeypatch.setattr(server, "start", lambda: 0.0)
