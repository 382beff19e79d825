"""The daily run makes its day, catches up on the days before, and tells of a day that is missing."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from otzyv.flows.alerts import reported
from otzyv.flows.backfill import ExtractorName
from otzyv.flows.daily import DailyFailed, daily
from otzyv.schemas.errors import LakeError
from otzyv.tasks.alerts import webhook
from otzyv.tasks.alerts.book import Book
from otzyv.tasks.extractors import Extractor
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.extractors.settings import WrongSettings
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.lake.delta.storage import PAGES
from otzyv.tasks.lake.lake import LostTable
from otzyv.tasks.pipeline import make
from otzyv.tasks.pipeline.ingest import Source
from otzyv.tasks.pipeline.overdue import BEGAN
from tests.tasks.alerts.heard import Heard, closed_port, hearing

pytestmark = pytest.mark.usefixtures("prefect_server")
plain = pytest.mark.usefixtures("without_prefect")
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


@plain
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


@plain
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


@plain
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


@plain
def test_tables_that_go_on_failing_beside_released_ones_are_told_once_at_times_again_and_as_over(
    lake: Lake, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otzyv.flows.daily.get_run_logger", logging.getLogger)
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTZYV_PARTIAL", "true")
    tables = [ExtractorName("text_count"), ExtractorName("image_layout")]
    for n in range(4):
        day = LAST + timedelta(n)
        arrive(tmp_path, day, f"r{n}")
        with pytest.raises(DailyFailed, match="text_count"):
            daily(lake.uri, day=day, extractors=tables, catch_up=1)
        assert "1 failed, 0 left (tables: text_count on 1)" in caplog.text
        assert Book(lake.uri).state.figures["days failed"] == 1
    assert [(call["kind"], call["state"]) for call in calls] == [("failed", "raised")]
    assert "text_count" in next(iter(calls))["what"][0]
    daily(lake.uri, day=LAST + timedelta(3), extractors=tables[1:], catch_up=1)
    assert [call["state"] for call in calls] == ["raised", "over"]


def test_a_damaged_note_of_the_first_daily_run_is_named_with_its_cure(lake: Lake) -> None:
    lake.storage.write(BEGAN, b'{"since": "2026-')
    with pytest.raises(LakeError, match=f"{BEGAN} is damaged: make the days that wait by otzyv backfill"):
        daily(lake.uri, day=LAST, catch_up=1)


@plain
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
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """What a webhook on loopback was called with."""
    with hearing() as heard:
        monkeypatch.setenv("OTZYV_WEBHOOK", f"{heard.address}/hook")
        yield Calls(heard)


@dataclass(frozen=True)
class Calls:
    heard: Heard

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.heard.bodies)


def test_a_missing_day_calls_the_webhook_and_the_other_days_are_made(lake: Lake, tmp_path: Path, calls: Calls) -> None:
    arrive(tmp_path, LAST - timedelta(days=1), "a")
    assert daily(lake.uri, day=LAST) == [LAST - timedelta(days=1)]
    told = {"event": "otzyv.day.missing", "day": str(LAST), "lake": lake.uri, "kind": "missing", "state": "raised"}
    assert [{name: call[name] for name in told} for call in calls] == [told]
    assert daily(lake.uri, day=LAST) == []
    assert len(list(calls)) == 1, "it is told again after hours, by whoever looks then"
    arrive(tmp_path, LAST, "b")
    assert daily(lake.uri, day=LAST) == [LAST]
    assert [call["event"] for call in calls] == [told["event"], "otzyv.day.missing.over"]


@plain
def test_a_broken_receiver_fails_no_run_and_its_address_is_in_no_log(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.0,))
    monkeypatch.setattr("otzyv.flows.alerts.get_run_logger", logging.getLogger)
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTZYV_WEBHOOK", "http://127.0.0.1:99999/geheim")
    monkeypatch.setenv("OTZYV_PING", "geheim")
    monkeypatch.setenv("OTZYV_RECEIVERS", f"slak://geheim json://127.0.0.1:{closed_port()}/geheim")
    arrive(tmp_path, LAST - timedelta(days=1), "a")
    assert daily(lake.uri, day=LAST) == [LAST - timedelta(days=1)]
    assert f"alert: missing: {LAST}: nothing has come" in caplog.text
    assert "geheim" not in caplog.text


@plain
def test_a_good_run_is_told_to_whoever_waits_for_it_and_a_run_that_failed_is_over_with_the_next_good_one(
    lake: Lake, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(tmp_path, LAST, "a")
    good = tmp_path / "incoming" / f"{LAST}.jsonl"
    text = good.read_text()
    good.write_bytes(bytes(range(256)))
    with hearing() as ping:
        monkeypatch.setenv("OTZYV_PING", f"{ping.address}/1")
        for _ in range(2):
            with pytest.raises(DailyFailed):
                daily(lake.uri, day=LAST, catch_up=1)
        assert ping.asked == []
        assert "success" not in Book(lake.uri).state.marks
        good.write_text(text)
        for _ in range(2):
            daily(lake.uri, day=LAST, catch_up=1)
        assert [asked for asked, _, _ in ping.asked] == ["GET /1"] * 2
    told = ["run.failed", "day.missing", "run.failed", "day.missing.over", "run.failed.over"]
    assert sorted(call["event"] for call in calls) == sorted(f"otzyv.{each}" for each in told)
    assert time.time() - 600 < Book(lake.uri).state.marks["success"] <= time.time()


def test_a_run_that_fails_otherwise_is_told_without_the_words_of_its_error(
    lake: Lake, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Иван П.: ужасный курс")

    monkeypatch.setattr("otzyv.flows.daily.plan", broken)
    arrive(tmp_path, LAST, "a")
    with pytest.raises(RuntimeError):
        daily(lake.uri, day=LAST, catch_up=1)
    (call,) = calls
    assert call["what"][0].endswith(": RuntimeError")
    assert "Иван" not in json.dumps(call, ensure_ascii=False)


def test_a_dead_mans_switch_that_does_not_answer_holds_no_run_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otzyv.flows.alerts.get_run_logger", logging.getLogger)
    monkeypatch.setattr("otzyv.tasks.alerts.alerts.PATIENCE", 0.2)
    with hearing(delay=30) as slow:
        monkeypatch.setenv("OTZYV_PING", slow.address)
        began = time.monotonic()
        with reported(str(tmp_path)):
            pass
        assert time.monotonic() - began < 3
    assert "ping: it has not answered within" in caplog.text


@plain
def test_settings_that_are_broken_are_alerted(
    lake: Lake, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_CRON", "never")
    with pytest.raises(WrongSettings):
        daily(lake.uri, day=LAST, catch_up=1)
    (call,) = calls
    assert "cron: 'never' is no cron line" in call["what"][0]


@plain
def test_days_that_nobody_looked_at_are_told_together_and_those_that_are_left_out_once(
    lake: Lake, tmp_path: Path, calls: Calls
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(json.dumps({"review_id": "history", "text": "курс", "created_at": "2020-01-05T12:00:00"}))
    ingest.fn(lake.uri, Source(str(history)), KEY)
    first = LAST - timedelta(days=5)
    for day in (first, first + timedelta(days=2)):
        arrive(tmp_path, day, f"r{day}")
    for _ in range(2):
        daily(lake.uri, day=first, catch_up=1)
    daily(lake.uri, day=LAST, catch_up=1)
    gap = [str(first + timedelta(days=n)) for n in (1, 3, 4, 5)]
    assert [(call["event"], call["subjects"]) for call in calls] == [
        ("otzyv.day.left_out", ["2020-01-05"]),
        ("otzyv.day.missing", gap),
    ]
    arrive(tmp_path, date.fromisoformat(gap[1]), "late")
    daily(lake.uri, day=LAST, catch_up=1)
    *_, over = calls
    assert (over["event"], over["subjects"]) == ("otzyv.day.missing.over", [gap[1]])


@plain
def test_a_run_of_an_earlier_day_does_not_tell_that_later_days_are_no_longer_left_out(
    lake: Lake, tmp_path: Path, calls: Calls
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(json.dumps({"review_id": "history", "text": "курс", "created_at": "2020-01-05T12:00:00"}))
    ingest.fn(lake.uri, Source(str(history)), KEY)
    for day in (LAST, earlier := date(2020, 1, 1)):
        arrive(tmp_path, day, f"r{day}")
    for day in (LAST, earlier, LAST):
        daily(lake.uri, day=day, catch_up=1)
    assert [(call["event"], call["subjects"]) for call in calls] == [("otzyv.day.left_out", ["2020-01-05"])]
    daily(lake.uri, day=date(2020, 1, 5), catch_up=1)
    *_, over = calls
    assert (over["event"], over["subjects"]) == ("otzyv.day.left_out.over", ["2020-01-05"])


@plain
def test_a_day_that_is_held_is_told_and_over_once_a_person_has_let_it_through(
    lake: Lake, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_VERDICT", json.dumps({"fewest": 1, "empty": 0.1}))
    records = [
        {"review_id": f"{n}", "text": "курс" if n else "", "rating": 5, "created_at": f"{LAST}T12:00:00"}
        for n in range(3)
    ]
    (tmp_path / "incoming" / f"{LAST}.jsonl").write_text("\n".join(map(json.dumps, records)))
    for _ in range(2):
        daily(lake.uri, day=LAST, catch_up=1)
    (held,) = calls
    assert (held["event"], held["day"]) == ("otzyv.day.held", str(LAST))
    assert "empty" in held["what"][0]
    releases.approve(lake.storage, LAST)
    daily(lake.uri, day=LAST, catch_up=1)
    *_, over = calls
    assert (over["event"], over["day"]) == ("otzyv.day.held.over", str(LAST))


def test_the_log_and_the_artifact_of_a_run_hold_its_counts(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otzyv.flows.daily.get_run_logger", logging.getLogger)
    caplog.set_level(logging.INFO)
    shown: list[str] = []
    monkeypatch.setattr("otzyv.tasks.daily_artifact.create_markdown_artifact", lambda told, **_: shown.append(told))
    arrive(tmp_path, LAST, "a", "b", "c", "b")
    with (tmp_path / "incoming" / f"{LAST}.jsonl").open("a") as file:
        file.write("\n{broken}")
    arrive(tmp_path, LAST - timedelta(days=1), "d")
    daily(lake.uri, day=LAST, catch_up=2)
    assert "records: 6 in, 4 accepted, 1 refused, 1 deduplicated, 0 suppressed, 0 undecided" in caplog.text
    assert "(refused: 1 as the record is not JSON); days: 2 touched, 2 made, 0 unchanged, 0 held, 0 failed, 0 left" in (
        caplog.text
    )
    assert "| in | 6 |" in shown[0]
    assert f"| made | 2 | {LAST - timedelta(days=1)} to {LAST} |" in shown[0]
    assert Book(lake.uri).state.figures["days made"] == 2


@plain
def test_a_day_that_can_not_be_brought_in_fails_the_run_and_keeps_no_other_day_from_being_made(
    lake: Lake, tmp_path: Path, calls: Calls
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
    failed, missing = sorted((call for call in calls), key=lambda call: call["kind"])
    assert missing["day"] == str(LAST), "that day is missing still"
    assert failed["event"] == "otzyv.run.failed"
    assert f"{linked}.jsonl is a link" in failed["what"][0]


@plain
def test_a_day_whose_file_is_cut_short_is_missing_for_that_and_not_for_being_empty(
    lake: Lake, tmp_path: Path, calls: Calls
) -> None:
    arrive(tmp_path, LAST, "a", "b")
    file = tmp_path / "incoming" / f"{LAST}.jsonl"
    file.write_text(f"[{','.join(file.read_text().splitlines())}"[:-9])
    with pytest.raises(DailyFailed, match="cut short"):
        daily(lake.uri, day=LAST, catch_up=1)
    (missing,) = (call for call in calls if call["kind"] == "missing")
    assert missing["what"] == [f"{LAST}.jsonl is cut short or broken: its JSON is not closed; copy or write it again"]


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


@plain
def test_a_day_of_which_most_was_refused_fails_the_run_with_the_reasons_and_what_is_good_is_made(
    lake: Lake, tmp_path: Path
) -> None:
    arrive(tmp_path, LAST, "a", "b")
    with (tmp_path / "incoming" / f"{LAST}.jsonl").open("a") as file:
        file.write("\n{broken}")
    with pytest.raises(DailyFailed, match=r"1 of 3 records were refused.* 1 as the record is not JSON"):
        daily(lake.uri, day=LAST)
    assert sorted(lake.releases()) == [LAST]


@plain
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


@plain
@pytest.mark.parametrize("state", ["not set", "unreachable", "an address", "missing", "empty", "of other days"])
def test_a_day_without_reviews_tells_what_is_the_matter_with_its_source(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    incoming = tmp_path / "incoming"
    file = incoming / f"{LAST}.jsonl"
    why: list[str] = []

    def emitted(event: str, *, payload: dict[str, Any], **_: object) -> None:
        if event == "otzyv.day.missing":
            why.append(payload["why"])

    monkeypatch.setattr("otzyv.flows.alerts.emit_event", emitted)
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
