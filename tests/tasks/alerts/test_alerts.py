"""Each receiver gets each alert once, whoever sees the trouble; a broken one delays and fails nobody."""

from __future__ import annotations

import json
import logging
import re
import smtplib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from otzyv.tasks.alerts import alerts as module
from otzyv.tasks.alerts import webhook
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.book import FOLDER, KEPT, Book
from otzyv.tasks.alerts.kinds import DISK_LOW, FAILED, HELD, MISSING
from otzyv.tasks.alerts.receivers import receivers
from otzyv.tasks.alerts.sending import Told as Sent
from otzyv.tasks.alerts.settings import AlertLimits, AlertSettings
from otzyv.tasks.alerts.state import Observation, Trouble
from otzyv.tasks.lake.delta.storage import Storage, StorageError
from tests.tasks.alerts.heard import Heard, closed_port, hearing

HOUR = 3600.0
BAD = Observation(MISSING, {"2026-03-01": Trouble("nothing has come")})
WELL = Observation(MISSING, {})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.0,))


@pytest.fixture
def heard() -> Iterator[Heard]:
    with hearing() as one:
        yield one


@dataclass
class Clock:
    now: float = 1e9

    def __call__(self) -> float:
        return self.now


@dataclass
class Told:
    lines: list[str] = field(default_factory=list)
    events: list[tuple[str, str, str, Mapping[str, Any]]] = field(default_factory=list)


def settings(*webhooks: str, receivers: tuple[str, ...] = ()) -> AlertSettings:
    hook = SecretStr(webhooks[0]) if webhooks else None
    limits = AlertLimits(again_hours=6, repeats=2)
    return AlertSettings(webhook=hook, receivers=[SecretStr(each) for each in receivers], alerts=limits)


def alerts(lake: Path, chosen: AlertSettings, told: Told | None = None, clock: Clock | None = None) -> Alerts:
    lake.mkdir(exist_ok=True)
    told = told or Told()

    def emit(*event: Any) -> None:
        told.events.append(event)

    return Alerts(str(lake), chosen, Book(str(lake)), told.lines.append, emit, clock or Clock())


def told_of(heard: Heard) -> list[tuple[str, str]]:
    return [(body["event"], body["state"]) for body in map(json.loads, heard.bodies)]


def test_an_alert_is_a_line_an_event_and_a_post_and_says_what_to_do(tmp_path: Path, heard: Heard) -> None:
    told = Told()
    alerts(tmp_path / "lake", settings(heard.address), told).observe(BAD)
    assert told.lines == ["alert: missing: 2026-03-01: nothing has come"]
    ((event, lake, subject, payload),) = told.events
    assert (event, lake, subject) == ("otzyv.day.missing", str(tmp_path / "lake"), "2026-03-01")
    assert payload["why"] == "nothing has come"
    (body,) = map(json.loads, heard.bodies)
    assert body == {
        "id": heard.asked[0][1]["webhook-id"],
        "event": "otzyv.day.missing",
        "day": "2026-03-01",
        "lake": str(tmp_path / "lake"),
        "kind": "missing",
        "state": "raised",
        "subjects": ["2026-03-01"],
        "what": ["nothing has come"],
        "do": MISSING.do,
        "since": "2001-09-09T01:46:40+00:00",
        "at": "2001-09-09T01:46:40+00:00",
    }


def test_it_is_told_again_at_times_and_once_that_it_is_over_also_after_restarts(tmp_path: Path, heard: Heard) -> None:
    clock = Clock()
    for hours, observed in enumerate([BAD] * 30 + [WELL] * 3 + [BAD]):
        clock.now = 1e9 + hours * HOUR
        alerts(tmp_path / "lake", settings(heard.address), clock=clock).observe(observed)
    assert told_of(heard) == [
        ("otzyv.day.missing", "raised"),
        ("otzyv.day.missing", "still"),
        ("otzyv.day.missing", "still"),
        ("otzyv.day.missing.over", "over"),
        ("otzyv.day.missing", "raised"),
    ]


def test_of_many_that_see_the_same_at_once_one_tells_it(tmp_path: Path, heard: Heard) -> None:
    lake, barrier = tmp_path / "lake", threading.Barrier(8)

    def see(observed: Observation) -> None:
        one = alerts(lake, settings(heard.address))
        barrier.wait()
        one.observe(observed)

    for observed in (BAD, WELL, Observation(FAILED, {"daily": Trouble("run", "id")}, ["daily"])):
        threads = [threading.Thread(target=see, args=(observed,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told_of(heard) == [
        ("otzyv.day.missing", "raised"),
        ("otzyv.day.missing.over", "over"),
        ("otzyv.run.failed", "raised"),
    ]
    assert Book(str(lake)).state.outbox == []


def test_what_a_receiver_did_not_take_is_sent_later_in_its_order_and_the_others_get_nothing_twice(
    tmp_path: Path, heard: Heard
) -> None:
    lake, clock, told = tmp_path / "lake", Clock(), Told()
    with hearing(500, 500, 500, 200) as broken:
        both = settings(broken.address, receivers=(heard.address.replace("http:", "json:"),))
        alerts(lake, both, told, clock).observe(BAD)
        alerts(lake, both, told, clock).observe(WELL)
        assert [line.rpartition(": ")[2] for line in told.lines if "webhook" in line] == [
            "it answers 500; it is tried again"
        ]
        one = alerts(lake, both, told, clock)
        for seconds, asked in ((0, 1), (61, 2), (61, 2), (240, 3), (9 * HOUR, 5), (9 * HOUR, 5)):
            clock.now += seconds
            one.send_left()
            assert len(broken.asked) == asked, "it is left alone for longer and longer"
    assert [state for _, state in told_of(broken)] == ["raised"] * 4 + ["over"]
    assert len(heard.asked) == 2
    assert one.book.state.outbox == []


def test_what_nobody_takes_is_given_up_after_a_day(tmp_path: Path) -> None:
    clock, told = Clock(), Told()
    one = alerts(tmp_path / "lake", settings(f"http://127.0.0.1:{closed_port()}"), told, clock)
    one.observe(BAD)
    for _ in range(6):
        clock.now += 5 * HOUR
        one.send_left()
    assert one.book.state.outbox == []
    assert len([line for line in told.lines if "given up" in line]) == 1


def test_a_message_of_a_process_that_died_while_it_sent_is_sent_by_another(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    lake = tmp_path / "lake"
    with monkeypatch.context() as dying:
        dying.setattr(Alerts, "_send", lambda *_: None)
        alerts(lake, settings(heard.address), clock=clock).observe(BAD)
    other = alerts(lake, settings(heard.address), clock=clock)
    other.send_left()
    assert heard.asked == [], "the one may be at work on it"
    clock.now += 121
    other.send_left()
    other.send_left()
    assert told_of(heard) == [("otzyv.day.missing", "raised")]


def test_a_slow_receiver_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    told = Told()
    with hearing(delay=30) as slow:
        began = time.monotonic()
        alerts(tmp_path / "lake", settings(slow.address), told).observe(BAD)
        assert time.monotonic() - began < 3
    assert "has not answered within" in told.lines[-1]


@pytest.mark.parametrize("broken", ["http://127.0.0.1:99999/x", "mailto", "", "http://127.0.0.1:8O80"])
def test_a_mistyped_address_fails_nothing_and_keeps_no_other_from_being_told(
    tmp_path: Path, heard: Heard, broken: str
) -> None:
    told = Told()
    chosen = settings(broken, receivers=(broken, "slak://geheim", heard.address.replace("http:", "json:")))
    assert len(alerts(tmp_path / "lake", chosen, told).observe(BAD)) == 1
    assert len(heard.asked) == 1
    assert "geheim" not in "".join(told.lines)


def test_a_lake_that_can_not_be_written_or_is_not_there_is_alerted_and_only_once(tmp_path: Path, heard: Heard) -> None:
    lake, clock = tmp_path / "lake", Clock()
    one = alerts(lake, settings(heard.address), clock=clock)
    lake.rmdir()
    full = Observation(DISK_LOW, {"lake": Trouble("1 MiB free")})
    for _ in range(3):
        one.observe(full)
        clock.now += 60
    assert not lake.exists(), "a lake whose disk is not mounted is not made"
    assert told_of(heard) == [("otzyv.disk.low", "raised")]
    lake.mkdir()
    one.observe(full)
    assert Book(str(lake)).state.open["disk low"]["lake"].told == 1, "it is written once that can be done"
    one.observe(Observation(DISK_LOW, {}))
    assert told_of(heard)[1:] == [("otzyv.disk.low.over", "over")]


def test_a_damaged_state_is_passed_over(tmp_path: Path, heard: Heard) -> None:
    lake = tmp_path / "lake"
    one = alerts(lake, settings(heard.address))
    one.observe(BAD)
    newest = max((lake / FOLDER).iterdir())
    for damage in (b"", b"{}", b"[]", b'{"open": 1}', b"\xff"):
        newest.write_bytes(damage)
        assert alerts(lake, settings(heard.address)).book.state.open["missing"]
    one.observe(BAD, Observation(HELD, {"2026-03-02": Trouble("empty")}))
    assert [event for event, _ in told_of(heard)] == ["otzyv.day.missing", "otzyv.day.held"]


def test_where_nobody_can_tell_what_was_told_nothing_is_told_again(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, told = tmp_path / "lake", Told()
    one = alerts(lake, settings(heard.address))
    one.observe(BAD)

    def failing(*_: Any, **__: Any) -> Any:
        raise StorageError("the bucket does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "files", failing)
        one.observe(BAD)  # which it has told itself
        other = alerts(lake, settings(heard.address), told)
        assert other.observe(BAD) == []
        other.mark(success=1.0)
        other.figures({"days made": 1.0})
        assert other.book.state.open == {}
        one.observe(Observation(HELD, {"2026-03-02": Trouble("empty")}))  # new, and is kept until it can be written
    assert "can't be read now" in told.lines[0]
    assert other.observe(BAD) == []
    one.observe(Observation(HELD, {"2026-03-02": Trouble("empty")}))
    assert [event for event, _ in told_of(heard)] == ["otzyv.day.missing", "otzyv.day.held"]
    assert Book(str(lake)).state.open["held"]["2026-03-02"].told == 1


def test_few_former_states_stay(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    one = alerts(lake, settings())
    for n in range(KEPT + 5):
        one.mark(success=float(n))
    assert len([*(lake / FOLDER).iterdir()]) == KEPT
    one.mark(success=3.0)
    assert one.book.state.marks == {"success": float(KEPT + 4)}


def test_on_s3_of_many_that_see_the_same_at_once_one_tells_it(s3: str, heard: Heard) -> None:
    def see() -> None:
        uri = f"{s3}/lake"
        Alerts(uri, settings(heard.address), Book(uri), lambda _: None).observe(BAD)

    threads = [threading.Thread(target=see) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told_of(heard) == [("otzyv.day.missing", "raised")]


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#chan"


def test_receivers_are_named_without_their_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    chosen = settings(
        "https://hooks.example/geheim", receivers=(SLACK, "mailto://me:geheim@example.com", "tgram://geheim")
    )
    names = [each.name for each in receivers(chosen)]
    assert [name.rpartition(" ")[0] for name in names] == ["webhook", "slack", "e-mail", "unknown"]
    assert len(set(names)) == 4
    assert not any(secret in f"{names} {caplog.text} {chosen!r}" for secret in ("geheim", "TIiajk", "example"))


def test_why_apprise_could_not_send_is_told_without_its_address(
    heard: Heard, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    told = Told()
    with hearing(503) as broken:
        gone = f"json://me:geheim@127.0.0.1:{closed_port()}/geheim"
        refused = broken.address.replace("http://", "json://me:geheim@") + "/geheim"
        alerts(tmp_path / "lake", settings(receivers=(gone, refused)), told).observe(BAD)
    assert sorted(line.split(": ")[2] for line in told.lines[1:]) == [
        "it answers 503; it is tried again",
        "it has not taken it, or can't be reached; it is tried again",
    ]
    assert "geheim" not in "".join(told.lines) + caplog.text


def test_an_e_mail_shows_each_line_by_itself_and_what_was_seen_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    class Smtp:
        def __init__(self, *_: object, **__: object) -> None: ...
        def login(self, *_: object) -> None: ...
        def starttls(self, **_: object) -> None: ...
        def quit(self) -> None: ...
        def sendmail(self, _: str, __: object, message: str) -> None:
            sent.append(message)

    for name in ("SMTP", "SMTP_SSL"):
        monkeypatch.setattr(smtplib, name, Smtp)
    (mail,) = receivers(settings(receivers=("mailtos://user:password@example.com",)))
    mail.send(Sent("id", "otzyv: held", "Lake: /lake\n2026-03-01: <b>3</b> < 4", {}))
    parts = [part for part in message_from_string(sent[0]).walk() if not part.is_multipart()]
    shown = {part.get_content_type(): bytes(part.get_payload(decode=True)).decode() for part in parts}
    assert shown["text/plain"].split("\n") == ["Lake: /lake", "2026-03-01: <b>3</b> < 4"]
    assert re.fullmatch(r"Lake:.*/lake<br/>\W*2026-03-01:.*&lt;b&gt;3.*", shown["text/html"], re.DOTALL)


def test_each_of_many_that_are_wrong_at_once_is_an_event_that_says_why(tmp_path: Path) -> None:
    told = Told()
    days = {f"2026-03-{n:02}": Trouble(f"why {n}") for n in range(1, 32)}
    one = alerts(tmp_path / "lake", settings(), told)
    (message, *_), _ = [one.observe(observed) for observed in (Observation(MISSING, days), WELL)]
    assert [(name, subject) for name, _, subject, _ in told.events] == [
        (name, day) for name in ("otzyv.day.missing", "otzyv.day.missing.over") for day in sorted(days)
    ]
    assert [payload["why"] for *_, payload in told.events[:31]] == [f"why {n}" for n in range(1, 32)]
    for people in (told.lines[0], module.text(message, "lake")):
        assert "why 10" in people
        assert "why 11" not in people
    assert "and 21 more" in module.text(message, "lake")
