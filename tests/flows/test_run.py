"""The main job, end to end: what goes in is accounted for, what stands is reused, and a second run changes nothing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from otzyv.flows.features import DayReport, features
from otzyv.schemas.tables import REVIEWS, RUNS
from otzyv.tasks.extractors import get, names
from tests.flows.command import Otzyv, command, review

ATTACHED = [{"kind": "image", "uri": "gone.png"}]
MINE = Path(__file__).parents[2]
plain = pytest.mark.usefixtures("without_prefect")


def test_a_second_run_over_the_same_source_changes_no_file_of_the_lake(otzyv: Otzyv) -> None:
    records = [review(f"r{n}", f"Курс номер {n}", f"2026-03-0{n % 3 + 1}", author=f"автор {n}") for n in range(12)]
    otzyv.write("a.jsonl", [*records, records[0], b"{broken", b'{"review_id": "no date"}'])
    first = otzyv.run()
    assert [first[name] for name in ("records_in", "accepted", "quarantined", "deduplicated")] == [15, 12, 2, 1]
    assert first["days"] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert first["tables"]["sentiment_mini"]["computed"] == 12
    before = otzyv.files()
    second = otzyv.run()
    assert [second[name] for name in ("records_in", "accepted", "quarantined", "deduplicated")] == [15, 0, 2, 13]
    assert [(table["computed"], table["reused"]) for table in second["tables"].values()] == [(0, 12), (0, 12)]
    assert otzyv.files() == before


def test_ingest_and_features_apart_make_what_run_makes(otzyv: Otzyv, tmp_path: Path) -> None:
    otzyv.write("a.jsonl", [review("a"), review("b", day="2026-03-02")])
    other = Otzyv(tmp_path / "other", otzyv.source)
    otzyv.run()
    ingested = command("ingest", "--source", other.source, "--lake", other.lake, "--json")
    other.holds(json.loads(ingested.stdout))
    assert json.loads(ingested.stdout)["tables"] == {}
    for day in ("2026-03-01", "2026-03-02"):
        done = command("features", "--lake", other.lake, "--day", day, "--extractors", "sentiment_mini", "--json")
        said = json.loads(done.stdout)
        other.holds(said)
        assert (said["records_in"], said["days"]) == (0, [day])
    for name in ("reviews", "clean_text", "sentiment_mini"):
        table = otzyv.opened().table(name)
        assert other.opened().read(table).sort_by("review_id").equals(otzyv.opened().read(table).sort_by("review_id"))
    assert other.opened().releases().keys() == otzyv.opened().releases().keys()


@plain
def test_a_day_in_the_path_names_the_only_files_that_are_read(otzyv: Otzyv) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        otzyv.write(f"{day}.jsonl", [review(day, day=day)])
    where = otzyv.source / "{day}.jsonl"
    assert otzyv.run("--day", "2026-03-02", source=where)["records_in"] == 1
    assert otzyv.run("--from", "2026-03-02", "--to", "2026-03-03", source=where)["records_in"] == 2
    assert otzyv.run(source=where)["days"] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    missing = command("run", "--source", where, "--lake", otzyv.lake, "--day", "2026-03-04")
    assert missing.exit_code == 1
    assert "2026-03-04.jsonl is not there" in missing.stderr


@plain
def test_a_run_of_one_day_tells_of_that_day_alone_and_which_others_wait(otzyv: Otzyv) -> None:
    days = [f"2026-03-0{n % 3 + 1}" for n in range(12)]
    otzyv.write("a.jsonl", [review(f"r{n}", day=day, attachments=ATTACHED) for n, day in enumerate(days)])
    run = ("run", "--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "sentiment_mini")
    for made in (4, 0):
        done = command(*run, "--day", "2026-03-02")
        assert re.search(rf"^ *reviews +4 +{made} +{4 - made} +0 ", done.stdout, re.M), done.stdout
        assert re.search(r"^ *attachments +4 .*4 missing", done.stdout, re.M), done.stdout
        assert "may wait for their features: 2;" in done.stderr
    for more in (run, ("ingest", *run[1:5])):
        assert "other days" not in command(*more).stderr


@plain
def test_a_day_without_reviews_is_told_and_leaves_nothing_behind(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a")])
    otzyv.run()
    runs = otzyv.opened().snapshot(RUNS).version
    done = command("features", "--lake", otzyv.lake, "--day", "2030-01-01", "--extractors", "sentiment_mini", "--json")
    assert done.exit_code == 0
    assert "no reviews on 2030-01-01: nothing was made for them; the lake has 2026-03-01" in done.stderr
    assert otzyv.opened().snapshot(RUNS).version == runs
    assert [str(day) for day in otzyv.opened().releases()] == ["2026-03-01"]


def test_days_of_nothing_start_no_flow(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    otzyv.write("a.jsonl", [review("a"), review("b", day="2026-03-03")])
    otzyv.run("--day", "2026-03-01")
    started: list[date] = []

    def noted(lake: str, days: Sequence[date], extractors: Sequence[str]) -> tuple[DayReport, ...]:
        started.extend(days)
        return features(lake, days, extractors)

    monkeypatch.setattr("otzyv.flows.run.features", noted)
    said = otzyv.run("--from", "2026-01-01", "--to", "2026-12-31")
    assert [str(day) for day in started] == ["2026-03-03"], "nor does one that stands as it was made"
    assert len(said["days"]) == 365
    monkeypatch.setenv("OTZYV_SOURCE_MODE", "snapshot")
    otzyv.write("a.jsonl", [review("a")])
    otzyv.run("--allow-empty", "--from", "2026-03-02", "--to", "2026-03-03")
    assert [str(day) for day in started[1:]] == ["2026-03-03"], "features of reviews that went are taken away"
    assert otzyv.opened().read(otzyv.opened().table("sentiment_mini"))["review_id"].to_pylist() == ["a"]


@plain
@pytest.mark.parametrize(("old", "new"), [("2026-03-01", "2026-03-03"), ("2026-03-03", "2026-03-01")])
def test_a_review_that_moves_takes_its_features_along(otzyv: Otzyv, old: str, new: str) -> None:
    others = [review(day, "Другой отзыв", day) for day in ("2026-03-01", "2026-03-03")]
    otzyv.write("a.jsonl", [*others, review("moves", "Переехал", old)])
    otzyv.run()
    otzyv.write("b.jsonl", [review("moves", "Переехал", new, updated_at="2026-04-01")])
    said = otzyv.run()
    assert said["days"] == ["2026-03-01", "2026-03-03"]
    assert [(table["rows"], table["computed"]) for table in said["tables"].values()] == [(3, 0), (3, 0)]


@plain
def test_an_edit_costs_one_row_and_the_older_text_is_gone(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a", "Один"), review("b", "Два"), review("c", "Три")])
    otzyv.run()
    otzyv.write("b.jsonl", [review("b", "Иначе", updated_at="2026-04-01"), review("c", "Три")])
    said = otzyv.run()
    assert (said["accepted"], said["deduplicated"]) == (1, 4)
    assert [(table["rows"], table["computed"]) for table in said["tables"].values()] == [(3, 1), (3, 1)]
    assert sorted(otzyv.opened().read(REVIEWS)["text"].to_pylist()) == ["Иначе", "Один", "Три"]


@plain
def test_a_file_corrected_in_place_counts_without_an_edit_time_and_two_states_of_a_review_at_once_are_told(
    otzyv: Otzyv,
) -> None:
    run = ("run", "--source", otzyv.source, "--lake", otzyv.lake)
    otzyv.write("a.jsonl", [review("a", "Один"), review("b", "Два")])
    command(*run)
    otzyv.write("a.jsonl", [review("a", "Иначе"), review("b", "По-другому")])
    assert "two states" not in command(*run).stderr
    assert sorted(otzyv.opened().read(REVIEWS)["text"].to_pylist()) == ["Иначе", "По-другому"]
    otzyv.write("b.jsonl", [review("a", "Один")])
    assert "of 1 review the source holds two states" in command(*run).stderr


@plain
def test_a_lake_that_has_lost_its_reviews_makes_no_empty_days_and_takes_them_from_the_source_again(
    otzyv: Otzyv,
) -> None:
    otzyv.write("a.jsonl", [review("a", "Один"), review("b", "Два", "2026-03-02")])
    otzyv.run()
    before = otzyv.opened().releases()
    shutil.rmtree(otzyv.lake / "reviews")
    for job in ("plan", "backfill", "features"):
        refused = command(job, "--lake", otzyv.lake)
        assert refused.exit_code == 1
        assert "no table 'reviews' any more, although 2 days" in refused.output
    otzyv.write("a.jsonl", [review("a", "Один")])
    partial = command("run", "--source", otzyv.source, "--lake", otzyv.lake)
    assert partial.exit_code == 1
    assert "1 days with rows of it are released (2026-03-02 to 2026-03-02)" in partial.output
    assert otzyv.opened().releases() == before
    otzyv.write("a.jsonl", [review("a", "Один"), review("b", "Два", "2026-03-02")])
    said = otzyv.run()
    assert [(table["rows"], table["computed"]) for table in said["tables"].values()] == [(2, 0), (2, 0)]
    assert len(otzyv.opened().frame(None, ["reviews", "sentiment_mini"])) == 2


@plain
def test_what_a_snapshot_no_longer_holds_is_gone_but_no_day_is_emptied_unasked(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_SOURCE_MODE", "snapshot")
    only = review("b", attachments=[{"kind": "image", "uri": "b.png"}])  # of its day; gone, it leaves a day of reviews
    otzyv.write("a.jsonl", [review("a"), only, review("c", day="2026-03-02")])
    assert otzyv.run()["gone"] == 0
    otzyv.write("a.jsonl", [review("a"), review("c", day="2026-03-02")])
    said = otzyv.run()
    assert said["gone"] == 1
    assert [(table["rows"], table["computed"]) for table in said["tables"].values()] == [(2, 0), (2, 0)]
    otzyv.write("a.jsonl", [review("a")])
    before = otzyv.files()
    refused = command("run", "--source", otzyv.source, "--lake", otzyv.lake)
    assert refused.exit_code == 1
    assert "holds no review of 2026-03-02" in refused.stderr
    assert "--allow-empty" in refused.stderr
    assert otzyv.files() == before
    otzyv.run("--allow-empty")
    assert otzyv.opened().read(REVIEWS)["review_id"].to_pylist() == ["a"]
    assert otzyv.opened().read(otzyv.opened().table("sentiment_mini"))["review_id"].to_pylist() == ["a"]


@plain
def test_a_snapshot_says_how_many_reviews_went_and_an_append_has_none_to_tell(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = ("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    otzyv.write("a.jsonl", [review(name) for name in "abcd"])
    assert "gone" not in json.loads(command(*ingest, "--json").stdout)
    otzyv.write("a.jsonl", [review("a")])
    assert "gone" not in command(*ingest).stdout
    monkeypatch.setenv("OTZYV_SOURCE_MODE", "snapshot")
    told = command(*ingest).stdout
    assert "3 reviews are gone from the source" in told
    assert "Nothing changed" not in told
    again = command(*ingest).stdout
    assert "gone" not in again
    assert "Nothing changed" in again


def test_any_order_of_the_records_gives_the_same_rows_in_the_same_order(otzyv: Otzyv, tmp_path: Path) -> None:
    records = [review(f"r{n % 20}", f"Текст {n}", f"2026-03-0{n % 3 + 1}", rating=n % 5 + 1) for n in range(30)]
    records += [review("r1", "Правка", "2026-03-02", updated_at="2026-04-01"), review("r2", "Без даты")]
    otzyv.write("a.jsonl", records)
    said = otzyv.run()
    random.Random(7).shuffle(records)
    other = Otzyv(tmp_path / "other", tmp_path / "shuffled")
    other.write("a.jsonl", records)
    assert {**other.run(), "tables": {}} == {**said, "tables": {}}
    for name in ("reviews", "clean_text", "sentiment_mini"):
        table = otzyv.opened().table(name)
        for day in otzyv.opened().snapshot(table).days:
            assert other.opened().read(table, day).equals(otzyv.opened().read(table, day))


@plain
def test_days_do_not_depend_on_the_machines_time_zone(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_TIMEZONE", "Europe/Moscow")
    times = ("2026-03-01T20:59:59Z", "2026-03-01T21:00:00Z", "2026-03-02T00:30:00", "2026-03-01", "2026-03-01T23:00-05")
    otzyv.write("a.jsonl", [{"review_id": time, "text": "Курс", "created_at": time} for time in times])
    wanted = dict(zip(times, ("2026-03-01", "2026-03-02", "2026-03-02", "2026-03-01", "2026-03-02"), strict=True))
    try:
        for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            other = Otzyv(otzyv.lake.with_name(zone.replace("/", "-")), otzyv.source)
            command("ingest", "--source", other.source, "--lake", other.lake)
            rows = other.opened().read(REVIEWS).to_pylist()
            assert {row["review_id"]: str(row["day"]) for row in rows} == wanted
    finally:
        monkeypatch.undo()
        time.tzset()


@plain
def test_all_available_names_what_it_leaves_out_and_what_brings_that(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review(f"r{n}", f"Курс номер {n % 3}, задачи и лекции") for n in range(9)])
    where = ("--lake", otzyv.lake, "--extractors", "all-available")

    def left_out(*arguments: str | Path) -> tuple[dict[str, list[str]], Any]:
        """Of each kind the names that were left out; and the object that was printed for programs."""
        done = command(*arguments, *where, "--json")
        assert done.exit_code == 0, done.stderr
        told = re.findall(r"^left out, ([^:]+): ([^;]+); (.+)$", done.stderr, re.M)
        brings = {
            "never fitted in this lake": f"`otzyv fit NAME --lake {otzyv.lake}`",
            "weights not here": "`otzyv models pull NAME`",
            "paid for": "the key in OPENAI_API_KEY",
        }
        assert [kind for kind, _, _ in told] == [*brings]  # a line of each
        assert all(brings[kind] in how for kind, _, how in told)
        return {kind: named.split(", ") for kind, named, _ in told}, json.loads(done.stdout)

    def planned(said: Any) -> set[str]:
        return {table["table"] for day in said["days"] for table in day["tables"]}

    left, said = left_out("run", "--source", otzyv.source)
    made = {*said["tables"]} - {"clean_text"}
    assert sorted([*made, *(name for named in left.values() for name in named)]) == sorted(names())
    assert left["never fitted in this lake"] == [name for name in names() if get(name).fit]
    assert left["paid for"] == ["text_openai"]
    assert made >= {*names("embedded")}
    assert command("fit", "text_count", "--lake", otzyv.lake).exit_code == 0
    later, said = left_out("plan")
    assert {*left["never fitted in this lake"]} - {*later["never fitted in this lake"]} == {"text_count"}
    assert planned(said) == {"clean_text", "text_count", *made}
    named = command("plan", *where[:3], "all-available,text_openai", "--json")
    assert planned(json.loads(named.stdout)) == {"clean_text", "text_count", *made, "text_openai"}
    assert "paid for" not in named.stderr


def test_json_alone_stands_on_standard_output_even_with_the_log_on(otzyv: Otzyv) -> None:
    from prefect.settings import PREFECT_API_URL

    otzyv.write("a.jsonl", [*map(review, "abcd"), b"broken"])
    (otzyv.source / "linked").symlink_to(otzyv.source)
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "HOME": str(otzyv.lake.parent)}
    where = ("--source", str(otzyv.source), "--lake", str(otzyv.lake))
    run = (
        "-m",
        "otzyv",
        "--debug",
        "run",
        *where,
        "--extractors",
        "sentiment_mini,image_layout",
        "--json",
    )
    done = subprocess.run(
        [sys.executable, *run], capture_output=True, text=True, env=environment, cwd=MINE, check=False
    )
    assert done.returncode == 0, done.stderr
    otzyv.holds(json.loads(done.stdout))
    assert "DEBUG" in done.stderr
