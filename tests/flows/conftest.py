"""Flows run against one server for the whole session, in an environment that holds no settings but the author key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.flows.command import Otzyv
from tests.flows.served import Served, serving


@pytest.fixture
def otzyv(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Otzyv:
    """The command, with a lake and a source folder of its own."""
    for name in [name for name in os.environ if name.startswith("OTZYV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "a key for tests")
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    (tmp_path / "source").mkdir()
    return Otzyv(tmp_path / "lake", tmp_path / "source")


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One ``otzyv serve`` for all that start runs on it, over March and April of 2026; each test has its own days."""
    with serving(tmp_path_factory.mktemp("served"), [date(2026, 3, 1) + timedelta(n) for n in range(61)]) as one:
        yield one
