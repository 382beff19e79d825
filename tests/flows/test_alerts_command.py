"""``otzyv alerts`` lists what is wrong, and tries every receiver."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from otzyv.tasks.alerts import webhook
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.kinds import HELD, MISSING
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.alerts.state import Observation, Trouble
from otzyv.tasks.lake import Lake
from tests.flows.command import command
from tests.tasks.alerts.heard import closed_port, hearing


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTZYV_") and name != "OTZYV_MODELS"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(webhook, "PAUSES", (0.0,))


def test_every_receiver_is_tried_and_it_is_said_which_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with hearing() as good:
        monkeypatch.setenv("OTZYV_WEBHOOK", f"{good.address}/geheim")
        monkeypatch.setenv("OTZYV_WEBHOOK_KEY", "geheimer key")
        local = good.address.replace("http:", "json:")
        monkeypatch.setenv("OTZYV_RECEIVERS", f"{local}/geheim json://127.0.0.1:{closed_port()}/geheim")
        monkeypatch.setenv("OTZYV_PING", f"{good.address}/geheim/ping")
        done, shown = command("alerts", "test"), command("alerts", "test", "--json")
    assert (done.exit_code, shown.exit_code) == (1, 1)
    assert "geheim" not in done.output + shown.output
    lines = [line.split(": ", 1) for line in done.stdout.splitlines()]
    assert [(name.split()[0], said) for name, said in lines] == [
        ("webhook", "taken"),
        ("json", "taken"),
        ("json", "it has not taken it, or can't be reached"),
        ("ping", "its host can be reached; it is not asked, which would count as a good run"),
    ]
    assert done.stderr.startswith("Error: not all have taken it: json ")
    assert [row["taken"] for row in json.loads(shown.stdout)] == [True, True, False, None]
    assert len(good.asked) == 4
    assert all(asked.startswith("POST") for asked, _, _ in good.asked), "a test is no sign of life"
    signed = [headers for _, headers, _ in good.asked if "webhook-signature" in headers]
    assert len(signed) == 2


def test_all_that_took_it_is_a_success_and_none_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with hearing() as good:
        monkeypatch.setenv("OTZYV_WEBHOOK", good.address)
        done = command("alerts", "test")
    assert done.exit_code == 0
    assert "the webhook is not signed: set webhook_key" in done.stdout
    assert json.loads(good.bodies[0])["event"] == "otzyv.alerts.test"
    monkeypatch.delenv("OTZYV_WEBHOOK")
    none = command("alerts", "test")
    assert (none.exit_code, "no receiver is set" in none.stderr) == (2, True)
    monkeypatch.setenv("OTZYV_WEBHOOK", "geheim")
    wrong = command("alerts", "test")
    assert (wrong.exit_code, wrong.stdout.split(": ", 1)[1]) == (
        1,
        "its address is no URL: write it as https://host/path\nthe webhook is not signed: set webhook_key\n",
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:PORT/geheim", "its host can't be reached (ConnectionRefusedError)"),
        ("https://geheim.invalid/geheim", "its host can't be reached (gaierror)"),
        ("geheim", "its address is no URL: write it as https://host/path"),
    ],
)
def test_a_ping_that_can_not_arrive_is_told(address: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # The ids of tests are the same in all processes, so that the port is none of them.
    monkeypatch.setenv("OTZYV_PING", address.replace("PORT", str(closed_port())))
    done = command("alerts", "test")
    assert (done.exit_code, done.stdout) == (1, f"ping: {why}\n")
    assert "geheim" not in done.output


def test_what_is_wrong_now_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of a terminal, which breaks lines
    lake = Lake.create(tmp_path / "lake")
    assert (
        command("alerts", "--lake", lake.uri).stdout == "nothing is wrong, as far as runs and otzyv serve have seen\n"
    )
    settings = AlertSettings(webhook=f"http://127.0.0.1:{closed_port()}/geheim")
    alerts = Alerts.of(lake.uri, settings, lambda _: None)
    alerts.observe(
        Observation(MISSING, {"2026-03-01": Trouble("nothing has come")}),
        Observation(HELD, {"2026-03-02": Trouble("empty")}),
    )
    alerts.observe(Observation(HELD, {}))
    told = json.loads(command("alerts", "--lake", lake.uri, "--json").stdout)
    assert [(row["kind"], row["subject"], row["what"], row["told"]) for row in told["open"]] == [
        ("missing", "2026-03-01", "nothing has come", 1)
    ]
    assert [each["kind"] for each in told["waiting"]] == ["missing", "held", "held"]
    shown = command("alerts", "--lake", lake.uri).output
    assert "nothing has come" in shown
    assert "geheim" not in shown + json.dumps(told)
    nowhere = command("alerts", "--lake", tmp_path / "nowhere")
    assert (nowhere.exit_code, nowhere.stderr.startswith("Error: no lake at")) == (1, True)
