"""An OpenLineage receiver hears of every table and day that was written or failed, and of nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from otzyv.tasks import lineage as module
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig
from otzyv.tasks.lineage import lineage
from otzyv.tasks.pipeline.make import TableRun, failed

DAY = date(2026, 3, 29)
"""On which Berlin puts its clocks forward."""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Authorization"] == "Bearer made up"
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "made up")
    yield found
    server.shutdown()
    server.server_close()


def runs() -> list[TableRun]:
    at = datetime(2026, 3, 30, 3, tzinfo=UTC)
    return [
        TableRun("clean_text", DAY, "published", at, rows=7),
        TableRun("sentiment_mini", DAY, "unchanged", at, rows=7),
        TableRun("text_count", DAY, "superseded", at, rows=7),
        TableRun("pca_text_navec", DAY, "published", at, rows=7),
        failed("image_layout", DAY, ExtractorFailed("no such kernel")),
    ]


def test_each_table_that_was_written_or_failed_is_told_with_its_day_and_what_it_was_made_of(
    tmp_path: Path, heard: list[dict[str, Any]]
) -> None:
    lake = Lake.create(tmp_path, LakeConfig(timezone="Europe/Berlin"))
    lineage.fn(lake.uri, runs())
    told = [
        (event["job"]["name"], event["eventType"], [each["name"] for each in event["inputs"]], event["outputs"])
        for event in heard
    ]
    assert [each[:3] for each in told] == [
        ("clean_text", "START", [f"{tmp_path}/reviews"]),
        ("clean_text", "COMPLETE", [f"{tmp_path}/reviews"]),
        ("pca_text_navec", "START", [f"{tmp_path}/text_navec"]),
        ("pca_text_navec", "COMPLETE", [f"{tmp_path}/text_navec"]),
        ("image_layout", "START", [f"{tmp_path}/attachments"]),
        ("image_layout", "FAIL", [f"{tmp_path}/attachments"]),
    ]
    written = [
        [(out["name"], out["outputFacets"]["outputStatistics"]["rowCount"]) for out in outs] for *_, outs in told
    ]
    assert written == [[], [(f"{tmp_path}/clean_text", 7)], [], [(f"{tmp_path}/pca_text_navec", 7)], [], []]
    assert {event["run"]["facets"]["nominalTime"]["nominalStartTime"] for event in heard} == {
        "2026-03-29T00:00:00+01:00"
    }
    assert {event["run"]["facets"]["nominalTime"]["nominalEndTime"] for event in heard} == {"2026-03-30T00:00:00+02:00"}
    assert heard[-1]["run"]["facets"]["errorMessage"]["message"] == "ExtractorFailed: no such kernel"
    assert [event["run"]["runId"] for event in heard[::2]] == [event["run"]["runId"] for event in heard[1::2]]
    assert len({event["run"]["runId"] for event in heard}) == 3


def test_a_receiver_that_does_not_answer_fails_no_run_and_its_address_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "get_run_logger", logging.getLogger)
    said = {"type": "http", "url": "http://127.0.0.1:9/a-secret-path", "retry": '{"total": 0}'}
    for name, value in said.items():
        monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__{name.upper()}", value)
    lineage.fn(Lake.create(tmp_path).uri, runs())
    assert "OpenLineage events could not be sent: ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_what_can_not_be_told_of_a_table_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "get_run_logger", logging.getLogger)
    run = TableRun("image_gone", DAY, "published", datetime(2026, 3, 30, 3, tzinfo=UTC))  # no extractor makes it now
    lineage.fn(Lake.create(tmp_path).uri, [run])
    assert "OpenLineage events could not be sent" in caplog.text
