"""What a lake keeps of personal data, as the settings say, and what the command shows of it."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from tests.flows.command import Otzyv, command

pytestmark = pytest.mark.usefixtures("without_prefect")

DAY = dt.date(2026, 3, 1)
TEXT = "Спасибо @ivan_petrov, пишите на ivan@mail.ru или 8 999 123-45-67, заказ 4956221568"


def kept(otzyv: Otzyv) -> list[str]:
    return [str(text) for text in otzyv.opened().frame([DAY], ["reviews"])["text"]]


def test_a_switch_acts_on_what_is_brought_in_and_on_the_same_records_brought_in_again(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    otzyv.write("a.jsonl", [{"review_id": "r1", "text": TEXT, "created_at": "2026-03-01T10:00:00Z"}])
    monkeypatch.setenv("OTZYV_REDACT", json.dumps({"name": False, "mail": False}))
    otzyv.run()
    assert kept(otzyv) == ["Спасибо @ivan_petrov, пишите на ivan@mail.ru или [телефон], заказ 4956221568"]
    monkeypatch.delenv("OTZYV_REDACT")
    otzyv.run()
    assert kept(otzyv) == ["Спасибо [имя], пишите на [почта] или [телефон], заказ 4956221568"]


def test_clean_tells_what_is_redacted_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_REDACT", json.dumps({"name": False}))
    said = json.loads(command("clean", TEXT, "--explain", "--json").stdout)
    assert {one["kind"]: (one["mark"], one["on"]) for one in said["kinds"]} == {
        "mail": ("[почта]", True), "page": ("[ссылка]", True), "name": ("[имя]", False), "snils": ("[снилс]", True),
        "inn": ("[инн]", True), "card": ("[карта]", True), "passport": ("[паспорт]", True),
        "phone": ("[телефон]", True),
    }  # fmt: skip
    assert [(one["kind"], TEXT[one["start"] : one["end"]]) for one in said["redacted"]] == [
        ("mail", "ivan@mail.ru"), ("phone", "8 999 123-45-67"),
    ]  # fmt: skip
    assert said["text"] == "Спасибо @ivan_petrov, пишите на [почта] или [телефон], заказ 4956221568"
    shown = command("clean", TEXT, "--explain").stdout
    assert "mail: 'ivan@mail.ru' → '[почта]' (characters 32 to 44)" in shown
    assert "signed_terms" not in shown


def test_a_kind_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_REDACT", json.dumps({"handle": False}))
    done = command("clean", TEXT)
    assert done.exit_code != 0
    assert "redact.handle" in done.stderr
