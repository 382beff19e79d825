"""The doctor finds each fault that is made, mends it without losing rows, and finds nothing where nothing is wrong."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from pathlib import Path

import pytest

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, RELEASES, REVIEWS
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.delta.snapshot import CorruptFile, TornLog, log_entry
from otzyv.tasks.lake.delta.storage import ASIDE
from otzyv.tasks.lake.features import artefacts
from otzyv.tasks.lake.releases import Release, ReleasesLost
from otzyv.tasks.lake.upkeep.doctor import Finding, examine
from otzyv.tasks.lake.upkeep.maintain import Keep, maintain
from tests.faults.counts import turns
from tests.faults.days import DAYS, TOY, bring_and_make, check_done, expected, forget_one, published
from tests.faults.victim import STEPS, Job, Victims


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    for edition in (1, 2):
        bring_and_make(str(tmp_path / "lake"), edition)
    return Lake(tmp_path / "lake")


def found(lake: Lake, **options: object) -> list[Finding]:
    return list(examine(lake, **options))  # type: ignore[arg-type]


def path(lake: Lake, relative: str) -> Path:
    return Path(lake.storage.at(relative))


def test_a_healthy_lake_of_many_versions_has_no_findings(lake: Lake) -> None:
    assert found(lake, deep=True, grace=-1) == []


def test_a_torn_entry_that_is_the_newest_is_moved_aside(lake: Lake) -> None:
    version = lake.snapshot(TOY).version
    torn = path(lake, log_entry(TOY.name, version + 1))
    torn.write_bytes(b'{"commitInfo":{"timest')
    assert [(each.what, each.repaired) for each in found(lake)] == [("torn log", False)]
    assert torn.exists(), "without --repair nothing is touched"
    (mended,) = found(lake, repair=True)
    assert mended.repaired
    assert Path(mended.done.removeprefix("moved to ")).read_bytes() == b'{"commitInfo":{"timest'
    assert found(lake) == []
    check_done(lake, 2)


def test_a_torn_entry_with_acknowledged_commits_after_it_stays(lake: Lake) -> None:
    torn = path(lake, log_entry(TOY.name, lake.snapshot(TOY).version - 1))
    torn.write_bytes(b"")
    for _ in range(2):
        (told,) = found(lake, repair=True)
        assert (told.what, told.repaired, told.where) == ("torn log", False, str(torn))
        assert "backup" in told.todo
    with pytest.raises(TornLog):
        lake.snapshot(TOY)
    torn.write_bytes(b'{"commitInfo":{"timest')
    with pytest.raises(TornLog, match=f"{torn.name}.*otzyv doctor"):
        Lake(lake.uri).snapshot(TOY)
    torn.unlink()
    with pytest.raises(TornLog, match=f"lacks .*{torn.name}.*otzyv doctor"):
        Lake(lake.uri).snapshot(TOY)
    (told,) = found(lake)
    assert (told.what, str(torn) in told.todo) == ("unreadable log", True)


@pytest.mark.parametrize("table", [REVIEWS, CLEAN_TEXT, TOY], ids=lambda table: table.name)
def test_a_table_that_readers_see_and_that_is_gone_is_missed_until_it_is_made_anew(lake: Lake, table: Table) -> None:
    shutil.rmtree(path(lake, f"{table.name}/_delta_log"))
    (told,) = found(lake, repair=True)
    assert (told.what, told.where, told.repaired) == ("missing table", lake.storage.at(table.name), False)
    assert ("otzyv run" if table is REVIEWS else f"--extractors {table.name}") in told.todo
    bring_and_make(lake.uri, 2)
    assert found(lake, deep=True) == []
    check_done(lake, 2)


@pytest.mark.parametrize("fault", ["missing file", "wrong size", "wrong bytes"])
@pytest.mark.parametrize("table", [TOY, CLEAN_TEXT], ids=lambda table: table.name)
def test_a_damaged_day_is_made_anew_by_the_next_run(lake: Lake, table: object, fault: str) -> None:
    (file,) = lake.snapshot(table).of(DAYS[0])  # type: ignore[arg-type]
    damaged, whole = path(lake, file.path), path(lake, file.path).read_bytes()
    if fault == "missing file":
        damaged.unlink()
    else:
        damaged.write_bytes(whole[:-9] if fault == "wrong size" else whole[:99] + b"x" + whole[100:])
    assert len(found(lake)) == (fault != "wrong bytes"), "bytes are read with --deep alone"
    assert [each.what for each in found(lake, deep=True)] == [fault]
    (mended,) = found(lake, repair=True, deep=True)
    assert mended.done
    assert f"--day {DAYS[0]}" in mended.todo
    name = table.name  # type: ignore[attr-defined]
    only = "" if name == CLEAN_TEXT.name else f" --extractors {name}"
    made = f"`otzyv features --lake {lake.uri} --day {DAYS[0]}{only}` brings the day back"
    with pytest.raises(CorruptFile, match=f"{made}.*doctor"):
        lake.frame([DAYS[0]], [name])
    (seen,) = found(lake)
    assert (seen.what, mended.repaired) == ("missing file", False), "readers see it until the day is made anew"
    bring_and_make(lake.uri, 2)
    assert found(lake, deep=True) == []
    check_done(lake, 2)


def test_a_damaged_day_of_reviews_is_told_of_until_an_ingest_brings_it_back(lake: Lake) -> None:
    (file,) = lake.snapshot(REVIEWS).of(DAYS[0])
    path(lake, file.path).write_bytes(b"torn")
    (told,) = found(lake, repair=True)
    assert not told.repaired
    assert "otzyv run --source" in told.todo
    with pytest.raises(CorruptFile, match=f"`otzyv run --source SOURCE --lake {lake.uri}` brings the day back"):
        lake.frame([DAYS[0]], ["reviews"])
    assert {each.what for each in found(lake)} == {"set aside", "missing file"}
    bring_and_make(lake.uri, 2)
    assert found(lake, deep=True) == []
    check_done(lake, 2)


@pytest.mark.parametrize("fault", ["missing file", "wrong size"])
def test_what_only_lost_releases_named_is_kept_until_a_person_says_otherwise(lake: Lake, fault: str) -> None:
    for day in DAYS:
        releases.rollback(lake.storage, day)
    forget_one(lake.uri, 0)  # some files that readers see are then in no version of their table
    before = {name for each in every_release(lake) for table in each.tables for name in table.files}
    for file in lake.snapshot(RELEASES).files:
        path(lake, file.path).unlink() if fault == "missing file" else path(lake, file.path).write_bytes(b"torn")
    mended = found(lake, repair=True)
    assert {(each.what, each.repaired) for each in mended} == {(fault, False)}
    bring_and_make(lake.uri, 2)
    for old in path(lake, "").rglob("*"):
        os.utime(old, (1, 1))
    at_once = Keep(releases=1, days=0, grace_hours=0)
    with pytest.raises(ReleasesLost, match=rf"remove .*{ASIDE}/releases/part-") as told:
        maintain(lake, at_once)
    assert {each.what for each in found(lake, repair=True)} == {"set aside"}
    assert all(path(lake, name).exists() for name in before)
    for aside in path(lake, f"{ASIDE}/releases").iterdir():
        assert str(aside) in str(told.value)
        aside.unlink()
    assert maintain(lake, at_once).data_files > 0
    assert found(lake, deep=True) == []
    check_done(lake, 2)


def every_release(lake: Lake) -> list[Release]:
    return [release for known in lake.history().values() for release in known]


@pytest.mark.parametrize(
    ("table", "fault"),
    [(RELEASES, "missing file"), *((table, "torn log") for table in (RELEASES, REVIEWS, ATTACHMENTS))],
)
def test_what_is_damaged_hides_no_other_fault(lake: Lake, table: Table, fault: str) -> None:
    (lost,) = lake.snapshot(TOY).of(DAYS[0])
    path(lake, lost.path).unlink()
    if fault == "torn log":
        lake.storage.write(log_entry(table.name, max(lake.snapshot(table).version, 0)), b"")
    else:
        path(lake, lake.snapshot(table).files[0].path).unlink()
    at = {each.where.removeprefix(f"{lake.uri}/").partition("/")[0]: each.what for each in found(lake)}
    assert at == {TOY.name: "missing file", table.name: fault}


def test_what_was_learned_is_missed_until_the_same_fit_brings_it_back(lake: Lake) -> None:
    sha256 = hashlib.sha256(b"learned").hexdigest()
    artefacts.add(lake.storage, "text_toy", sha256, {"from": str(DAYS[0]), "to": str(DAYS[1])})
    lake.storage.write(artefacts.artefact_path(sha256), b"learned")
    assert found(lake, deep=True) == []
    lake.storage.write(artefacts.artefact_path(sha256), b"flipped")
    assert found(lake) == []
    (wrong,) = found(lake, deep=True, repair=True)
    assert wrong.what == "wrong bytes"
    (missing,) = found(lake)
    assert (missing.what, missing.where) == ("missing file", lake.storage.at(artefacts.artefact_path(sha256)))
    assert f"otzyv fit text_toy --lake {lake.uri} --from {DAYS[0]} --to {DAYS[1]}" in missing.todo
    assert lake.storage.write_new(artefacts.artefact_path(sha256), b"learned")
    assert found(lake, deep=True) == []


def test_what_dead_runs_leave_is_removed_once_it_is_old(victims: Victims, lake: Lake) -> None:
    chance = random.Random(12)
    for turn in turns("kill -9, then the doctor", 4, 100):
        step = chance.choice(sorted(STEPS))
        victims.run(Job("bring_and_make", lake.uri, turn + 3, die_at=step, nth=chance.randint(1, 3)))
        for file in path(lake, "").rglob("*"):
            os.utime(file, (1, 1))
        assert all(each.repaired for each in found(lake, repair=True, deep=True))
        assert found(lake, deep=True) == []
        bring_and_make(lake.uri, turn + 3)
        assert published(lake) == expected(turn + 3)


def test_what_is_young_may_be_a_run_at_work_and_stays(lake: Lake) -> None:
    names = (f"{TOY.name}/day={DAYS[0]}/.part-x", f"_staging/{TOY.name}/x.arrow", f"{TOY.name}/part-1-00000000.parquet")
    for name in names:
        lake.storage.write(name, b"at work")
    assert found(lake, repair=True) == []
    assert all(path(lake, name).exists() for name in names)
    for name in names:
        os.utime(path(lake, name), (1, 1))
    assert {each.what for each in found(lake, repair=True)} == {"temporary file", "staged chunk", "orphan"}
    assert found(lake) == []
