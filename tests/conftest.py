"""What tests share: one Prefect server for all that run flows, in a home folder of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import prefect_server as settings

settings.configure()  # before any test imports Prefect, which reads its settings then


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Prefect's own server in a temporary folder, started once."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
