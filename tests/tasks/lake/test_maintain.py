"""Maintenance removes what nothing needs, and nothing else."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from otzyv.schemas.sample import sample
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, QUARANTINE, RELEASES, REVIEWS, RUNS
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.delta.publish import append
from otzyv.tasks.lake.delta.snapshot import DataFile, read_table
from otzyv.tasks.lake.features import journal, row_cache
from otzyv.tasks.lake.features.journal import Journal
from otzyv.tasks.lake.features.row_cache import sweep
from otzyv.tasks.lake.records.blobs import blob_path, put_blob, read_blob
from otzyv.tasks.lake.records.upsert import upsert
from otzyv.tasks.lake.releases import NoSuchRelease, Release, release_day
from otzyv.tasks.lake.upkeep.doctor import examine
from otzyv.tasks.lake.upkeep.maintain import MANY, Keep, maintain
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from tests.faults.days import TOY, toy

FIRST = date(2026, 3, 1)
TABLES = (REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY)
AT_ONCE = Keep(releases=1, days=0, grace_hours=0)


def bring(lake: Lake, day: date, review_id: str, text: str, edited: int) -> None:
    """A review with a file attached whose bytes are the text's."""
    data = text.encode()
    sha = hashlib.sha256(data).hexdigest()
    put_blob(lake.storage, data, sha)
    row = {
        **dict.fromkeys(REVIEWS.names), "review_id": review_id, "text": text, "attachments": 1, "day": day,
        "created_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC), "source_file": "made-up.jsonl",
        "updated_at": datetime(2026, 6, 1, 0, edited, tzinfo=UTC), "source_sha256": sha,
    }  # fmt: skip
    file = {"review_id": review_id, "position": 0, "kind": "other", "content_sha256": sha, "bytes": len(data),
            "media_type": None, "status": "ok", "day": day, "record": 0}  # fmt: skip
    schema = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))
    upsert(lake.storage, pa.Table.from_pylist([row], REVIEWS.arrow), pa.Table.from_pylist([file], schema))


def run(lake: Lake, day: date, *, held: bool = False) -> Release | None:
    if day not in lake.snapshot(REVIEWS).days and day not in lake.snapshot(CLEAN_TEXT).days:
        return None
    make(lake, CLEANING, day)
    make(lake, toy(), day)
    return release_day(lake.storage, day, TABLES, held=lambda *_: "to look at" if held else None)


def contents(lake: Lake, release: Release) -> list[Any]:
    """All that a release holds, its tables row by row and its files byte by byte."""
    found: list[Any] = []
    for table in TABLES:
        files = [DataFile(path, 0, 0, release.day) for path in release.by_name[table.name].files]
        found += read_table(lake.storage, table, files).to_pylist()
    return found + [read_blob(lake.storage, row["content_sha256"]) for row in found if "media_type" in row]


def every(lake: Lake) -> list[Release]:
    return [release for known in lake.history().values() for release in known]


actions = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 1), st.sampled_from("ab"), st.sampled_from(["один", "два", "три"])),
    st.tuples(st.just("run"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("back"), st.integers(0, 1)),
    st.tuples(st.just("approve"), st.integers(0, 1)),
    st.tuples(st.just("maintain")),
)


ROLLED_BACK = [
    step for text in ("один", "два") for step in (("edit", 0, "a", text), ("run", 0, False))
] + [("back", 0)]  # fmt: skip


@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@example(steps=[*ROLLED_BACK, ("maintain",), ("run", 0, False)])
@given(steps=st.lists(actions, min_size=12, max_size=20))
def test_every_kept_release_can_be_read_in_full_and_is_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[Any, ...]]
) -> None:
    lake = Lake.create(tmp_path_factory.mktemp("lake"))
    was: dict[str, list[Any]] = {}
    for number, (action, *said) in enumerate([*steps, ("maintain",), ("maintain",)]):
        day = FIRST + timedelta(days=said[0]) if said else FIRST
        if action == "edit":
            bring(lake, day, said[1], said[2], number)
        elif action == "run":
            run(lake, day, held=said[1])
        elif action == "maintain":
            before = lake.history()
            seen = lake.releases()
            standing = {table.name: lake.read(table).to_pylist() for table in TABLES}
            maintain(lake, AT_ONCE)
            after = lake.history()
            assert lake.releases() == seen
            for of in (lambda known: known[-1], releases.made):
                assert {day: of(known) for day, known in after.items()} == {d: of(known) for d, known in before.items()}
            assert {table.name: lake.read(table).to_pylist() for table in TABLES} == standing
        else:
            try:
                releases.rollback(lake.storage, day) if action == "back" else releases.approve(lake.storage, day)
            except NoSuchRelease:
                continue
        for release in every(lake):
            if action == "maintain":
                assert was[release.release_id] == contents(lake, release)
            elif release.release_id not in was:
                was[release.release_id] = contents(lake, release)
    if steps[: len(ROLLED_BACK)] == ROLLED_BACK:
        assert lake.history()[FIRST][-1].verdict == "rolled back", "a run of the unchanged day has not undone it"
    named = {path for release in every(lake) for table in release.tables for path in table.files}
    there = {path for table in TABLES for path in lake.storage.files(table.name, recursive=True)}
    standing_files = {file.path for table in TABLES for file in lake.snapshot(table).files}
    assert {path for path in there if path.endswith(".parquet") and "_delta_log" not in path} == named | standing_files


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    for number in range(4):
        bring(made, FIRST, "a", f"текст {number}", number)
        run(made, FIRST)
    return made


def test_what_is_young_stays_whatever_it_is(lake: Lake) -> None:
    names = ("text_toy/day=2026-03-01/part-0-00000000.parquet", "reviews/day=2026-03-01/.part-x", "blobs/ab/abcd")
    for name in names:
        lake.storage.write(name, b"x")
    kept = every(lake)
    assert maintain(lake).bytes == 0
    assert every(lake) == kept, "releases are young, too"
    done = maintain(lake, Keep(releases=1, days=0))
    assert (done.retired, done.data_files, done.blobs, done.temporary) == (3, 0, 0, 0)
    for name in names:
        os.utime(Path(lake.uri) / name, (time.time() - 25 * 3600,) * 2)
    done = maintain(lake, Keep(releases=1, days=0))
    assert (done.data_files + done.temporary, done.blobs, done.bytes) == (2, 1, 3)


@pytest.mark.parametrize(
    "tidy",
    [maintain, lambda lake: list(examine(lake, repair=True)), lambda lake: sweep(lake.storage, TOY, FIRST)],
    ids=["maintenance", "the doctor", "the next run"],
)
def test_chunks_of_a_live_run_stay_and_those_of_a_dead_one_go(lake: Lake, tidy: Callable[[Lake], object]) -> None:
    live, dead = (f"_staging/text_toy/{FIRST}/{whose}" for whose in ("live", "dead"))
    for path in (f"{live}/old.arrow", f"{live}/new.arrow", f"{dead}/old.arrow"):
        lake.storage.write(path, b"x")
        if path.endswith("old.arrow"):
            os.utime(Path(lake.uri) / path, (time.time() - row_cache.KEPT - 60,) * 2)
    tidy(lake)
    assert lake.storage.files("_staging", recursive=True) == [f"{live}/new.arrow", f"{live}/old.arrow"]


def test_answers_of_an_api_go_once_no_run_asks_for_them_any_more(lake: Lake) -> None:
    for fingerprint in ("former" * 3, "current" * 3):
        Journal(lake.storage, "text_paid", fingerprint).keep([fingerprint], np.ones((1, 2), np.float32))
    (old,) = lake.storage.files("_journal/text_paid/formerformerform")
    os.utime(Path(lake.uri) / old, (time.time() - journal.KEPT - 60,) * 2)
    assert maintain(lake).answers == 1
    assert not (Path(lake.uri) / old).parent.exists()
    assert Journal(lake.storage, "text_paid", "current" * 3).keys() == {"current" * 3}


def test_pages_go_once_they_are_old_but_for_the_newest(lake: Lake) -> None:
    pages = [f"pages/2026010{n}T000000-0123456{n}.html" for n in range(4)]
    for page in (*pages, "pages/a person's own.html"):
        lake.storage.write(page, b"page")
        if page != pages[2]:
            os.utime(Path(lake.uri) / page, (1, 1))
    done = maintain(lake)
    assert (done.pages, done.bytes) == (2, 8)
    assert lake.storage.files("pages") == [*pages[2:], "pages/a person's own.html"]


def test_a_blob_that_is_put_again_stays_although_nothing_refers_to_it_yet(lake: Lake) -> None:
    for data in (b"one", b"two"):
        sha = hashlib.sha256(data).hexdigest()
        put_blob(lake.storage, data, sha)
        os.utime(Path(lake.uri) / blob_path(sha), (time.time() - 48 * 3600,) * 2)
    put_blob(lake.storage, b"two", hashlib.sha256(b"two").hexdigest())
    assert maintain(lake).blobs == 1
    assert read_blob(lake.storage, hashlib.sha256(b"two").hexdigest()) == b"two"


def test_tables_of_events_lie_in_few_files_and_the_lake_works_on(lake: Lake) -> None:
    for seed in range(MANY + 1):
        append(lake.storage, RUNS, sample(RUNS, 3, seed))
        append(lake.storage, QUARANTINE, sample(QUARANTINE, 2, seed, day=FIRST), FIRST)
    before = {table.name: sorted(map(str, lake.read(table).to_pylist())) for table in (RUNS, QUARANTINE, RELEASES)}
    done = maintain(lake, Keep(grace_hours=0))
    assert (done.compacted, done.retired) == (2 * MANY, 0)
    assert done.checkpoints
    for table in (RUNS, QUARANTINE, RELEASES):
        assert sorted(map(str, lake.read(table).to_pylist())) == before[table.name]
        assert len(lake.snapshot(table).files) < MANY
    assert maintain(lake, Keep(grace_hours=0)) == maintain(lake, Keep(grace_hours=0)), "nothing is left to do"
    assert make(lake, toy(), FIRST).state == "unchanged", "run keys outlive the log's cleaning"
    bring(lake, FIRST, "a", "иначе", 9)
    assert run(lake, FIRST) is not None
