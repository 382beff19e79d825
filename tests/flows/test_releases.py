"""Held days, approvals and rollbacks by the command, as a person meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flows.command import Otzyv, command, review


def listed(otzyv: Otzyv) -> list[dict[str, Any]]:
    done = command("releases", "--lake", otzyv.lake, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_held_day_is_told_listed_approved_and_rolled_back(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_VERDICT", json.dumps({"fewest": 2, "empty": 0.4}))
    otzyv.write("a.jsonl", [review("a"), review("b", "Ужас")])
    otzyv.run()
    otzyv.write("b.jsonl", [review("b", "", updated_at="2026-04-01")])
    done = command("run", "--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "sentiment_mini")
    assert done.exit_code == 0, "a day that waits for a person has not failed"
    approve = f"otzyv releases approve 2026-03-01 --lake {otzyv.lake}"
    assert "held: 2026-03-01: clean_text: 50% of 2 texts are empty" in done.stderr
    assert approve in done.stderr
    assert [row["state"] for row in listed(otzyv)] == ["held", "current"]
    assert command(*approve.split()[1:]).exit_code == 0
    assert [row["state"] for row in listed(otzyv)] == ["current", "superseded", "superseded"]
    assert set(otzyv.opened().frame(None, ["reviews"])["text"].fillna("")) == {"Отличный курс, спасибо!", ""}
    first = listed(otzyv)[-1]["release_id"]
    assert command("rollback", first[:12], "--lake", otzyv.lake).exit_code == 0
    assert "Ужас" in set(otzyv.opened().frame(None, ["reviews"])["text"])
    shown = command("releases", "--lake", otzyv.lake, "--day", "2026-03-01").stdout
    assert "rolled back" in shown
    wrong = command("rollback", "2026-03-02", "--lake", otzyv.lake)
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        "Error: no earlier release of 2026-03-02 is kept; it has no release\n",
    )
