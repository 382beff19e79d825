"""The daily run makes its day, catches up on the days before, and tells of a day that is missing."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from otzyv.flows.backfill import ExtractorName
from otzyv.flows.daily import DailyFailed, daily
from otzyv.schemas.errors import LakeError
from otzyv.tasks.extractors import Extractor
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.lake.delta.storage import PAGES
from otzyv.tasks.lake.lake import LostTable
from otzyv.tasks.pipeline import make
from otzyv.tasks.pipeline.ingest import Source
from otzyv.tasks.pipeline.overdue import BEGAN

pytestmark = pytest.mark.usefixtures("prefect_server")
KEY = "a key made up for tests"
LAST = date(2026, 3, 7)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    (tmp_path / "incoming").mkdir()
    monkeypatch.setenv("OTZYV_SOURCE", str(tmp_path / "incoming" / "{day}.jsonl"))
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", KEY)
    monkeypatch.setenv("OTZYV_SETTLE_SECONDS", "0")
    return Lake.create(tmp_path / "lake", LakeConfig(author_key_check=key_check(KEY)))


def arrive(tmp_path: Path, day: date, *ids: str) -> None:
    lines = [json.dumps({"review_id": name, "text": f"курс {name}", "created_at": f"{day}T12:00:00"}) for name in ids]
    (tmp_path / "incoming" / f"{day}.jsonl").write_text("\n".join(lines))


def test_after_a_downtime_every_day_of_the_window_is_made_and_no_older_one(lake: Lake, tmp_path: Path) -> None:
    days = [LAST - timedelta(days=n) for n in range(5)]
    for day in days:
        arrive(tmp_path, day, f"r{day}")
    assert daily(lake.uri, day=LAST, catch_up=3) == days[:3]
    assert sorted(lake.releases()) == sorted(days[:3])
    assert daily(lake.uri, day=LAST, catch_up=3) == []
    (page,) = lake.storage.files(PAGES)
    assert all(str(day) in lake.storage.read(page).decode() for day in days[:3]), "what was made is shown, once"
    arrive(tmp_path, days[1], f"r{days[1]}", "late")
    assert daily(lake.uri, day=LAST, catch_up=3) == [days[1]]
    assert sorted(lake.releases()) == sorted(days[:3]), "history is for a backfill"
    assert len(lake.frame([days[1]], ["clean_text"])) == 2
    shutil.rmtree(Path(lake.uri, "reviews"))
    with pytest.raises(LostTable, match="3 days"):
        daily(lake.uri, day=LAST, catch_up=1)


def test_what_comes_after_a_long_downtime_or_late_is_made_whenever_it_comes(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otzyv.flows.daily.get_run_logger", logging.getLogger)
    history = tmp_path / "history.jsonl"
    history.write_text(json.dumps({"review_id": "history", "text": "курс", "created_at": "2020-01-05T12:00:00"}))
    ingest.fn(lake.uri, Source(str(history)), KEY)
    first = LAST - timedelta(days=30)
    arrive(tmp_path, first, "first")
    assert daily(lake.uri, day=first) == [first], "what was there before is for a backfill"
    assert "2020-01-05: the reviews of these 1 days were there before the first daily run" in caplog.text
    down = [LAST - timedelta(days=n) for n in range(12)]
    for day in down:
        arrive(tmp_path, day, f"r{day}")
    assert daily(lake.uri, day=LAST) == down
    late, old = LAST - timedelta(days=20), first - timedelta(days=9)
    arrive(tmp_path, late, "file that came late")
    with (tmp_path / "incoming" / f"{LAST}.jsonl").open("a") as file:
        file.write(f"\n{json.dumps({'review_id': 'old', 'text': 'курс', 'created_at': f'{old}T12:00:00'})}")
    arrive(tmp_path, LAST + timedelta(days=1), "of a day that has not ended")
    assert daily(lake.uri, day=LAST) == [late, old]
    assert lake.frame(None, ["clean_text"])["review_id"].tolist() == [
        "old", "first", "file that came late", *(f"r{day}" for day in reversed(down)),
    ]  # fmt: skip
    assert daily(lake.uri, day=LAST) == []
    record = {"review_id": "history 2", "text": "курс", "created_at": "2020-01-05T13:00:00"}
    history.write_text(json.dumps(record))
    ingest.fn(lake.uri, Source(str(history)), KEY)
    assert daily(lake.uri, day=LAST) == [date(2020, 1, 5)], "an ingest has touched it"


def test_a_table_that_failed_is_made_whenever_it_can_be(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_PARTIAL", "true")
    picture = {"attachments": [{"kind": "image", "uri": "a.png"}]}
    record = {"review_id": "a", "text": "курс", "created_at": f"{LAST}T12:00:00", **picture}
    (tmp_path / "incoming" / f"{LAST}.jsonl").write_text(json.dumps(record))
    (tmp_path / "incoming" / "a.png").write_bytes(image("PNG", width=32, height=32))

    def broken(extractor: Extractor, *rest: Any) -> Any:
        if extractor.card.name == "image_layout":
            raise ExtractorFailed("image_layout: no such kernel")
        return extract(extractor, *rest)

    tables = [ExtractorName("sentiment_mini"), ExtractorName("image_layout")]
    with monkeypatch.context() as patch:
        patch.setattr(make, "extract", broken)
        for n in range(2):
            with pytest.raises(DailyFailed, match=f"image_layout {LAST}: ExtractorFailed"):
                daily(lake.uri, day=LAST + timedelta(days=20 * n), extractors=tables, catch_up=1)
        assert lake.frame([LAST], ["sentiment_mini"])["review_id"].tolist() == ["a"]
    assert daily(lake.uri, day=LAST + timedelta(days=50), extractors=tables, catch_up=1) == [LAST]
    assert lake.frame([LAST], ["image_layout"])["review_id"].tolist() == ["a"]
    assert daily(lake.uri, day=LAST + timedelta(days=50), extractors=tables, catch_up=1) == []


def test_a_table_that_can_not_even_be_planned_keeps_no_other_from_being_made(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(tmp_path, LAST, "a")
    tables = [ExtractorName("text_count"), ExtractorName("image_layout")]
    said = f"text_count {LAST}: NeverFitted: text_count learns from a lake and was never fitted in this one"
    for partial in ("false", "true"):
        monkeypatch.setenv("OTZYV_PARTIAL", partial)
        with pytest.raises(DailyFailed, match=said):
            daily(lake.uri, day=LAST, extractors=tables, catch_up=1)
        assert [*lake.releases()] == ([LAST] if partial == "true" else [])
    assert len(lake.frame([LAST], ["clean_text"])) == 1
    with pytest.raises(DailyFailed, match="text_count: NeverFitted"):
        daily(lake.uri, day=LAST + timedelta(days=9), extractors=tables[:1], catch_up=1)


def test_a_damaged_note_of_the_first_daily_run_is_named_with_its_cure(lake: Lake) -> None:
    lake.storage.write(BEGAN, b'{"since": "2026-')
    with pytest.raises(LakeError, match=f"{BEGAN} is damaged: make the days that wait by otzyv backfill"):
        daily(lake.uri, day=LAST, catch_up=1)


@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_a_file_that_is_still_written_is_waited_for_and_never_released_in_part(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("OTZYV_SETTLE_SECONDS", "1.5")
    monkeypatch.setenv("OTZYV_SOURCE_MODE", mode)
    arrive(tmp_path, LAST, "first")
    stop = threading.Event()

    def write(most: int) -> None:
        with (tmp_path / "incoming" / f"{LAST}.jsonl").open("a") as file:
            for n in range(most):
                record = {"review_id": f"r{n}", "text": "курс", "created_at": f"{LAST}T12:00:00"}
                file.write(f"\n{json.dumps(record)}")
                file.flush()
                if stop.wait(0.3):
                    return

    def while_written(most: int, run: Callable[[], object]) -> None:
        writer = threading.Thread(target=write, args=(most,))
        writer.start()
        run()
        stop.set()
        writer.join()
        stop.clear()

    def given_up() -> None:
        monkeypatch.setattr("otzyv.flows.daily.SETTLE_MOST", 3.0)
        with pytest.raises(DailyFailed, match=f"{LAST}.jsonl is still being written"):
            daily(lake.uri, day=LAST, catch_up=1)
        assert lake.read("reviews").num_rows == 0

    while_written(9999, given_up)
    monkeypatch.setattr("otzyv.flows.daily.SETTLE_MOST", 60.0)
    while_written(12, lambda: daily(lake.uri, day=LAST, catch_up=1))
    assert {*lake.frame([LAST], ["clean_text"])["review_id"]} >= {"first", *(f"r{n}" for n in range(12))}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What a webhook on loopback was called with; it answers with an error, which must fail nothing."""
    heard: list[object] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTZYV_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    yield heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_missing_day_calls_the_webhook_and_the_other_days_are_made(
    lake: Lake, tmp_path: Path, calls: list[object]
) -> None:
    arrive(tmp_path, LAST - timedelta(days=1), "a")
    assert daily(lake.uri, day=LAST) == [LAST - timedelta(days=1)]
    assert calls == [{"event": "otzyv.day.missing", "day": str(LAST), "lake": lake.uri}]
    arrive(tmp_path, LAST, "b")
    assert daily(lake.uri, day=LAST) == [LAST]
    assert len(calls) == 1


def test_a_day_that_can_not_be_brought_in_fails_the_run_and_keeps_no_other_day_from_being_made(
    lake: Lake, tmp_path: Path, calls: list[object]
) -> None:
    linked, broken, good = (LAST - timedelta(days=n) for n in range(3))
    for day in (linked, broken, good):
        arrive(tmp_path, day, f"r{day}")
    file = tmp_path / "incoming" / f"{linked}.jsonl"
    file.rename(tmp_path / "elsewhere.jsonl")
    file.symlink_to(tmp_path / "elsewhere.jsonl")
    (tmp_path / "incoming" / f"{broken}.jsonl").write_bytes(bytes(range(256)))
    with pytest.raises(DailyFailed, match=f"{linked}.jsonl is a link.*{broken}.jsonl"):
        daily(lake.uri, day=LAST)
    assert sorted(lake.releases()) == [good]
    assert [call["day"] for call in calls if isinstance(call, dict)] == [str(LAST)], "that day is missing still"


def test_a_day_whose_attached_files_can_not_be_fetched_is_named_and_keeps_no_other_day_from_coming_in(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "retries", 0)
    monkeypatch.setenv("OTZYV_ATTACHMENT_HOSTS", '["nobody.invalid"]')
    dead, *good = (LAST - timedelta(days=n) for n in range(3))
    for day in good:
        arrive(tmp_path, day, f"r{day}")
    record = {"review_id": "dead", "created_at": f"{dead}T12:00:00", "attachments": ["https://nobody.invalid/1.png"]}
    (tmp_path / "incoming" / f"{dead}.jsonl").write_text(json.dumps(record))
    with pytest.raises(DailyFailed, match=rf"^{dead}: nobody\.invalid: an attached file could not be fetched"):
        daily(lake.uri, day=LAST)
    assert sorted(lake.releases()) == sorted(good)
    record["attachments"] = []
    (tmp_path / "incoming" / f"{dead}.jsonl").write_text(json.dumps(record))
    assert daily(lake.uri, day=LAST) == [dead]


def test_a_day_of_which_most_was_refused_fails_the_run_with_the_reasons_and_what_is_good_is_made(
    lake: Lake, tmp_path: Path
) -> None:
    arrive(tmp_path, LAST, "a", "b")
    with (tmp_path / "incoming" / f"{LAST}.jsonl").open("a") as file:
        file.write("\n{broken}")
    with pytest.raises(DailyFailed, match=r"1 of 3 records were refused.* 1 as the record is not JSON"):
        daily(lake.uri, day=LAST)
    assert sorted(lake.releases()) == [LAST]


def test_a_review_that_moves_between_the_files_of_a_snapshot_is_computed_once_and_waits_for_a_file_that_is_broken(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_SOURCE_MODE", "snapshot")
    before = LAST - timedelta(days=1)
    arrive(tmp_path, LAST, "stays", "moves")
    arrive(tmp_path, before, "other")
    daily(lake.uri, day=LAST, catch_up=2)
    arrive(tmp_path, LAST, "stays", "new")
    (tmp_path / "incoming" / f"{before}.jsonl").write_bytes(bytes(range(256)))
    with pytest.raises(DailyFailed, match=f"{before}.jsonl"):
        daily(lake.uri, day=LAST, catch_up=2)
    assert set(lake.read("reviews")["review_id"].to_pylist()) == {"stays", "moves", "other", "new"}
    assert lake.frame([LAST], ["sentiment_mini"])["review_id"].tolist() == ["moves", "new", "stays"]
    arrive(tmp_path, before, "other", "moves")
    daily(lake.uri, day=LAST, catch_up=2)
    assert lake.frame([before], ["reviews"])["review_id"].tolist() == ["moves", "other"]
    runs = [run for run in lake.read("runs").sort_by("started_at").to_pylist() if run["day"] == before]
    assert [run["computed"] for run in runs if run["table"] == "sentiment_mini"] == [1, 0], "it is moved, not made anew"


@pytest.mark.parametrize("state", ["not set", "unreachable", "an address", "missing", "empty", "of other days"])
def test_a_day_without_reviews_tells_what_is_the_matter_with_its_source(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    incoming = tmp_path / "incoming"
    file = incoming / f"{LAST}.jsonl"
    why: list[str] = []
    monkeypatch.setattr("otzyv.tasks.missing_day.emit_event", lambda *_, payload, **__: why.append(payload["why"]))
    told = {
        "not set": "no source is set (setting source)",
        "unreachable": f"the source's folder {incoming} can't be reached (No such file or directory)",
        "an address": "s3://bucket/{day}.jsonl is an address; a source is a file or a folder",
        "missing": f"nothing has come to {file}",
        "empty": f"{file} is there, and holds no review of that day",
        "of other days": f"{file} is there, and holds no review of that day",
    }[state]
    match state:
        case "not set":
            monkeypatch.delenv("OTZYV_SOURCE")
        case "unreachable":
            incoming.rmdir()
        case "an address":
            monkeypatch.setenv("OTZYV_SOURCE", "s3://bucket/{day}.jsonl")
        case "empty":
            file.write_text("")
        case "of other days":
            arrive(tmp_path, LAST - timedelta(days=1), "a")
            (incoming / f"{LAST - timedelta(days=1)}.jsonl").rename(file)
    failing = state in ("unreachable", "an address")
    with pytest.raises(DailyFailed, match=re.escape(told)) if failing else nullcontext():
        daily(lake.uri, day=LAST, catch_up=1)
    (said,) = why
    assert said.startswith(told)
