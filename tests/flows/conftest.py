"""Flows run against one server for the whole session, in an environment that holds no settings but the author key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
