"""One ``otzyv serve`` for all the tests of this folder, which go to one process: see tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.flows.served import Served, serving


@pytest.fixture(scope="package")
def served(prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A lake of March and April of 2026 that is served; each test that starts runs on it has its own days."""
    days = [date(2026, 3, 1) + timedelta(n) for n in range(61)]
    with serving(tmp_path_factory.mktemp("served"), days, database=prefect_database) as one:
        yield one
