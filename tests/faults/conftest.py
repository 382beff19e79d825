from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.victim import Victims


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with Victims() as running:
        yield running
