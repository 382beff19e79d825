"""A run through Prefect's API works on the lakes that it may name, and reads nothing of any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from otzyv.flows.adapt import adapt
from otzyv.flows.allowed import RUN, NotAllowed, check_lake
from otzyv.flows.backfill import Backfill, DayOrder, backfill, backfill_days
from otzyv.flows.daily import daily
from otzyv.flows.fit import fit
from otzyv.flows.maintain import maintain
from otzyv.flows.quality import quality
from otzyv.flows.serving.deployments import FLOWS
from otzyv.tasks.lake import Lake

CALLS: dict[str, Callable[[str], Any]] = {
    "daily": lambda lake: daily.fn(lake),
    "backfill": lambda lake: backfill.fn(lake, Backfill()),
    "backfill days": lambda lake: backfill_days.fn(lake, [DayOrder(day=date(2026, 3, 1), extractors=[])]),
    "quality": lambda lake: quality.fn(lake),
    "maintain": lambda lake: maintain.fn(lake),
    "fit": lambda lake: fit.fn(lake, "text_tfidf"),
    "adapt": lambda lake: adapt.fn(lake, "text_rubert_tiny2"),
}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake that is served, seen from the process of a run."""
    lake = Lake.create(tmp_path / "served")
    monkeypatch.setenv("OTZYV_LAKE", lake.uri)
    monkeypatch.setenv(RUN, "0d4a5f0e-5f0e-4d4a-8f0e-0d4a5f0e5f0e")
    monkeypatch.chdir(tmp_path)
    return lake


def test_every_flow_that_is_deployed_is_held_to_the_lakes_allowed() -> None:
    assert set(CALLS) == set(FLOWS)


@pytest.mark.parametrize("flow", CALLS)
def test_another_lake_is_refused_before_anything_is_read_or_made(flow: str, served: Lake, tmp_path: Path) -> None:
    for other in (tmp_path / "new", f"{served.uri}/../other", "/etc", f"{served.uri}/reviews", "s3://bucket/lake"):
        with pytest.raises(NotAllowed, match="may not name the lake") as refused:
            CALLS[flow](str(other))
        assert served.uri in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_the_lake_served_and_those_of_the_setting_are_allowed_by_whatever_way_they_are_named(
    served: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "served")
    for way in (served.uri, f"{served.uri}/", "served", "./served", "link", f"{tmp_path}/x/../served"):
        check_lake(way)
    monkeypatch.setenv("OTZYV_ALLOWED_LAKES", json.dumps(["second", "s3://bucket/lake/"]))
    for way in (served.uri, str(tmp_path / "second"), "s3://bucket/lake"):
        check_lake(way)
    for other in ("s3://bucket/lake2", "s3://bucket", "third"):
        with pytest.raises(NotAllowed):
            check_lake(other)


def test_without_a_lake_in_the_settings_none_is_allowed_and_a_command_may_name_any(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OTZYV_LAKE", raising=False)
    check_lake(str(tmp_path))
    monkeypatch.setenv(RUN, "0d4a5f0e-5f0e-4d4a-8f0e-0d4a5f0e5f0e")
    with pytest.raises(NotAllowed, match=r"none is allowed \(setting allowed_lakes\)"):
        check_lake(str(tmp_path))
