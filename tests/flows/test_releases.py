"""Held days, approvals and rollbacks by the command, as a person meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.flows.command import Otzyv, command, review

plain = pytest.mark.usefixtures("without_prefect")


def page(*options: object, lake: object) -> str:
    done = command("quality", "--lake", str(lake), *map(str, options))
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip().removeprefix("quality page: ")).read_text()


def listed(otzyv: Otzyv) -> list[dict[str, Any]]:
    done = command("releases", "--lake", otzyv.lake, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@plain
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
    show = ("show", "reviews", "--lake", otzyv.lake, "--day", "2026-03-01")
    seen = listed(otzyv)[1]["release_id"]
    assert command(*show).stderr == f"the newest publication; readers see release {seen[:12]} of 2026-03-01\n"
    assert "2026-03-01 is held: clean_text: 50% of 2 texts are empty" in page(lake=otzyv.lake)
    assert command(*approve.split()[1:]).exit_code == 0
    assert [row["state"] for row in listed(otzyv)] == ["current", "superseded", "superseded"]
    assert not command(*show).stderr
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


def test_a_backfill_tells_of_days_that_it_holds_and_of_those_that_stay_held(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_VERDICT", json.dumps({"fewest": 2, "empty": 0.4}))
    otzyv.write("a.jsonl", [review("a"), review("b", ""), review("c", day="2026-03-02")])
    assert command("ingest", "--source", otzyv.source, "--lake", otzyv.lake).exit_code == 0
    job = ("backfill", "--lake", otzyv.lake, "--extractors", "sentiment_mini")
    first, then = command(*job), command(*job)
    for done in (first, then):
        assert done.exit_code == 0, "a day that waits for a person has not failed"
        assert done.stderr.count("held: 2026-03-01: clean_text: 50% of 2 texts are empty") == 1
    assert "0 of 2 days have something to do" in then.stdout
    said = json.loads(command(*job, "--json").stdout)
    assert [(day["day"], day["released"], bool(day["held"])) for day in said["plan"]["days"]] == [
        ("2026-03-02", True, False),
        ("2026-03-01", False, True),
    ]
    assert [each["day"] for each in said["held"]] == ["2026-03-01"]


@plain
def test_programs_are_told_what_was_done(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def told(*arguments: object) -> Any:
        done = command(*map(str, arguments), "--lake", otzyv.lake, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    monkeypatch.setenv("OTZYV_VERDICT", json.dumps({"fewest": 2, "empty": 0.4}))
    for text, edited in (("Ужас", "2026-04-01"), ("", "2026-04-02")):
        otzyv.write("a.jsonl", [review("a"), review("b", text, updated_at=edited)])
        otzyv.run()
    done = [told("releases", "approve", "2026-03-01"), told("rollback", "2026-03-01")]
    known = {row["release_id"]: row for row in listed(otzyv)}
    assert [known[made["release_id"]] | {"state": "current"} for made in done] == done
    assert [made["verdict"] for made in done] == ["approved", "rolled back"]
    assert "<h1>Quality of 2026-03-01</h1>" in Path(told("quality")["page"]).read_text()
    out = tmp_path / "features.parquet"
    days = ("--from", "2026-03-01", "--to", "2026-03-02")
    refused = command("export", "--tables", "reviews", "--lake", otzyv.lake, "--out", "/sys/x.csv")
    assert "can't write /sys/x.csv: this user may not write in /sys" in refused.stderr
    assert told("export", "--tables", "reviews", "--out", out, *days) == {
        "out": str(out), "rows": 2, "days": ["2026-03-01"], "not_released": ["2026-03-02"],
    }  # fmt: skip


@plain
def test_the_page_of_a_range_is_made_of_what_runs_recorded_alone(otzyv: Otzyv) -> None:
    otzyv.write(
        "a.jsonl", [review(f"{day}/{n}", f"Курс {n}", f"2026-03-0{day}") for day in (1, 2, 3) for n in range(day)]
    )
    otzyv.run()
    for table in ("reviews", "attachments", "clean_text", "sentiment_mini", "quarantine"):
        shutil.rmtree(otzyv.lake / table, ignore_errors=True)
    said = page("--from", "2026-03-02", "--to", "2026-03-03", lake=otzyv.lake)
    assert "<h1>Quality of 2026-03-02 to 2026-03-03</h1>" in said
    for told in ("2026-03-02 released, 2026-03-03 released", "ok 5", "published 2", "Sentiment by day"):
        assert told in said
    assert "2026-03-01" not in said
    assert ">0</b>checks passed" not in said
    nothing = command("quality", "--lake", otzyv.lake, "--day", "2030-01-01")
    assert (nothing.exit_code, "no run has made 2030-01-01" in nothing.stderr) == (1, True)
