from __future__ import annotations

from collections.abc import Iterator

import pytest

from otzyv.tasks.pipeline import make as making
from tests.faults.victim import Victims


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with Victims() as running:
        yield running


@pytest.fixture(autouse=True)
def small_chunks_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """``days.bring_and_make`` makes chunks small wherever it runs, in victims' processes and in this one."""
    monkeypatch.setattr(making, "extract", making.extract)  # type: ignore[attr-defined]
