"""Readers see what belongs together and what was found good: else a day waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.delta.snapshot import CorruptFile
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.lake import NotReleased
from otzyv.tasks.lake.releases import NoSuchRelease, Release, release_day
from otzyv.tasks.lake.upkeep.erase import shorten_log
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.edition import Edition
from otzyv.tasks.pipeline.make import TableRun, make
from otzyv.tasks.plan import plan
from otzyv.tasks.quality.verdict import Limits
from otzyv.tasks.record import record
from otzyv.tasks.release import Verdict, release
from tests.faults.days import TOY, toy
from tests.tasks.reviews import bring

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {DAY: {"a": "отлично", "b": "ужасно"}})
    make(made, CLEANING, DAY)
    make(made, toy(), DAY)
    release_day(made.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    return made


def clean_and_release(lake: Lake) -> Release | None:
    """What a run does that makes other extractors' tables."""
    make(lake, CLEANING, DAY)
    tables = [REVIEWS, ATTACHMENTS, CLEAN_TEXT]
    return release_day(lake.storage, DAY, tables, mixed=lambda day, named, _: Edition(lake, day, named).mixed)


def test_a_table_stays_released_while_it_fits_the_reviews_and_no_longer(lake: Lake) -> None:
    assert clean_and_release(lake) is None
    bring(lake, {DAY: {"b": "ужасно"}}, edited=1)
    clean_and_release(lake)
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 2, "another state of the review, but the same text"
    bring(lake, {DAY: {"b": "уже лучше"}}, edited=2)
    clean_and_release(lake)
    assert set(lake.frame([DAY], ["reviews"])["text"]) == {"отлично", "уже лучше"}
    with pytest.raises(NotReleased, match=r"text_toy.*2026-03-01.*otzyv features"):
        lake.frame([DAY], ["reviews", "text_toy"])
    make(lake, toy(), DAY)
    release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 2


def test_of_a_day_that_lost_its_last_review_nothing_is_read(lake: Lake) -> None:
    bring(lake, {NEXT: {"a": "отлично", "b": "ужасно"}}, edited=1)
    clean_and_release(lake)
    assert len(lake.frame([DAY], ["reviews", "clean_text"])) == 0
    with pytest.raises(NotReleased, match="text_toy"):
        lake.frame([DAY], ["text_toy"])
    assert make(lake, toy(), DAY).state == "published"
    assert make(lake, toy(), DAY).state == "unchanged"
    release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 0
    assert lake.read(TOY, DAY).num_rows == 0


def run(lake: Lake, day: date = DAY, limits: Limits | None = None, *, again: bool = False) -> Verdict:
    """Cleaning alone, then the release as a run makes it."""
    return release.fn(lake.uri, [day], [make(lake, CLEANING, day, again=again)], limits)[day]


def texts(lake: Lake, day: date = DAY) -> set[str]:
    return set(lake.frame([day], ["reviews"])["text"])


STRICT = Limits(fewest=2, empty=0.4)


def test_a_critical_verdict_holds_the_day_until_a_person_approves_it(lake: Lake) -> None:
    bring(lake, {DAY: {"a": "", "b": "иначе"}}, edited=1)
    assert run(lake, limits=STRICT) == "held"
    assert run(lake, limits=STRICT) == "held", "it waits"
    assert texts(lake) == {"отлично", "ужасно"}, "readers keep what they had"
    (held,) = lake.history([DAY])[DAY][1:]
    assert held.reason == "clean_text: 50% of 2 texts are empty"
    assert plan.fn(lake.uri, []).work == ()
    assert releases.approve(lake.storage, DAY).verdict == "approved"
    assert texts(lake) == {"", "иначе"}
    assert run(lake, limits=STRICT) == "unchanged", "what a person has approved is not held again"
    with pytest.raises(NoSuchRelease, match="2026-03-01 is not held"):
        releases.approve(lake.storage, DAY)


def test_a_day_that_is_made_again_just_as_readers_see_it_is_not_held(lake: Lake) -> None:
    bring(lake, {DAY: {"a": "", "b": "иначе"}}, edited=1)
    assert run(lake, limits=STRICT) == "held"
    assert run(lake, limits=STRICT, again=True) == "held", "no person has looked"
    releases.approve(lake.storage, DAY)
    assert run(lake, limits=STRICT, again=True) == "released"
    assert texts(lake) == {"", "иначе"}
    bring(lake, {DAY: {"c": ""}}, edited=2)
    assert run(lake, limits=STRICT) == "held", "other reviews are looked at again"


def test_a_day_that_is_made_again_unchanged_is_not_measured_against_days_that_came_before_it_since(lake: Lake) -> None:
    few = Limits(fewest=2)
    assert run(lake, limits=few) == "unchanged"
    bring(lake, {DAY - timedelta(n): {f"{n} {m}": f"курс {m}" for m in range(9)} for n in (1, 2, 3)})
    for n in (3, 2, 1):
        assert run(lake, DAY - timedelta(n), few) == "released"
    assert run(lake, limits=few, again=True) == "released"
    bring(lake, {DAY: {"c": "совсем другой"}}, edited=2)
    assert run(lake, limits=few) == "held", "clean_text: 3 rows, where the days before have 9"


def test_a_mended_rerun_releases_a_held_day(lake: Lake) -> None:
    bring(lake, {DAY: {"a": "", "b": "иначе"}}, edited=1)
    assert run(lake, limits=STRICT) == "held"
    bring(lake, {DAY: {"a": "отлично"}}, edited=2)
    assert run(lake, limits=STRICT) == "released"
    assert texts(lake) == {"отлично", "иначе"}
    bring(lake, {DAY: {"a": ""}}, edited=3)
    assert run(lake, limits=STRICT) == "held"
    assert run(lake, limits=Limits()) == "released", "the settings have been mended"


@pytest.mark.parametrize("damaged", [True, False], ids=["damaged", "gone"])
def test_a_table_that_was_damaged_after_it_was_measured_is_not_released(lake: Lake, damaged: bool) -> None:
    bring(lake, {NEXT: {"c": "уже лучше"}}, edited=1)
    runs = [make(lake, CLEANING, NEXT)]
    record.fn(lake.uri, runs)
    (file,) = (Path(lake.storage.at(file.path)) for file in lake.snapshot(CLEAN_TEXT).of(NEXT))
    if damaged:
        file.write_bytes(file.read_bytes()[:-9] + b"something")
    else:
        file.unlink()
    with pytest.raises(CorruptFile, match=f"{file.name}: .*`otzyv doctor --deep --lake {lake.uri}`"):
        release.fn(lake.uri, [NEXT], runs)[NEXT]
    assert NEXT not in lake.releases()


def test_a_rollback_stays_until_a_person_approves_what_was_made_since(lake: Lake) -> None:
    for number, text in enumerate(("один", "два"), 1):
        bring(lake, {DAY: {"a": text}}, edited=number)
        assert run(lake) == "released"
    before = lake.storage.files("reviews", recursive=True)
    back = releases.rollback(lake.storage, DAY)
    assert texts(lake) == {"один", "ужасно"}
    assert lake.storage.files("reviews", recursive=True) == before, "no data is copied"
    assert run(lake) == "unchanged"
    assert plan.fn(lake.uri, []).work == ()
    assert texts(lake) == {"один", "ужасно"}
    releases.rollback(lake.storage, DAY)
    assert texts(lake) == {"отлично", "ужасно"}, "again: one further back"
    with pytest.raises(NoSuchRelease, match="no earlier release of 2026-03-01 is kept"):
        releases.rollback(lake.storage, DAY)
    with pytest.raises(NoSuchRelease, match="already"):
        releases.rollback(lake.storage, lake.history()[DAY][0].release_id)
    releases.rollback(lake.storage, back.release_id[:8])
    assert texts(lake) == {"один", "ужасно"}
    bring(lake, {DAY: {"b": "три"}}, edited=9)
    assert [run(lake) for _ in range(2)] == ["held", "held"]
    assert texts(lake) == {"один", "ужасно"}
    assert str(lake.history()[DAY][-1].reason).startswith("a person rolled the day back on ")
    releases.approve(lake.storage, DAY)
    assert texts(lake) == {"два", "три"}
    bring(lake, {DAY: {"a": "четыре"}}, edited=10)
    assert run(lake) == "released", "it is pinned no more"


@pytest.mark.parametrize(
    ("make_current", "checkpoint"),
    [(releases.approve, False), (releases.approve, True), (releases.rollback, False)],
    ids=["approve", "approve, told by a checkpoint", "rollback"],
)
def test_a_damaged_release_is_not_made_current(
    lake: Lake, make_current: Callable[[Storage, date], Release], checkpoint: bool
) -> None:
    bring(lake, {DAY: {"a": "", "b": "иначе"}}, edited=1)
    held = make_current is releases.approve
    assert run(lake, limits=STRICT if held else None) == ("held" if held else "released")
    before = lake.history()[DAY]
    if checkpoint:  # the log's entries then tell of later days alone
        bring(lake, {NEXT: {"z": "потом"}})
        make(lake, CLEANING, NEXT)
        shorten_log(lake, REVIEWS)
        shorten_log(lake, CLEAN_TEXT)
    for name in ("reviews", "clean_text"):
        (damaged,) = (Path(lake.storage.at(path)) for path in before[held].table(name).files)
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-9])
        with pytest.raises(NoSuchRelease, match=f"{damaged} has {len(whole) - 9} bytes, {len(whole)} were written"):
            make_current(lake.storage, DAY)
        damaged.unlink()
        with pytest.raises(NoSuchRelease, match=f"no file {damaged}"):
            make_current(lake.storage, DAY)
        damaged.write_bytes(whole)
    assert lake.history()[DAY] == before
    assert make_current(lake.storage, DAY).tables == before[held].tables


def test_vectors_and_labels_are_compared_with_what_readers_see(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTERED, "text_toy", toy())
    limits = Limits(fewest=20)
    both = partial(_both, lake, limits=limits)
    bring(lake, {DAY: {f"r{n}": "ж" * (n % 7 + 1) for n in range(40)}}, edited=1)
    bring(lake, {NEXT: {f"s{n}": "ж" * (n % 6 + 1) for n in range(40)}}, edited=1)
    assert [both(DAY), both(NEXT)] == ["released", "released"]
    bring(lake, {NEXT: {f"s{n}": "w" * (n % 7 + 20) for n in range(40)}}, edited=2)
    assert both(NEXT) == "held"
    assert str(lake.history()[NEXT][-1].reason).startswith("clean_text: 100% of the rows have another language")
    assert "text_toy: the mean vector has moved by" in str(lake.history()[NEXT][-1].reason)
    third = NEXT + timedelta(days=1)
    bring(lake, {third: {f"t{n}": "ж" * (n % 5 + 1) for n in range(12)}})
    assert both(third) == "held"
    assert lake.history()[third][-1].reason == "clean_text: 12 rows, where the days before have 42"


def _both(lake: Lake, day: date, limits: Limits) -> Verdict:
    runs: list[TableRun] = [make(lake, CLEANING, day), make(lake, toy(), day)]
    return release.fn(lake.uri, [day], runs, limits)[day]
