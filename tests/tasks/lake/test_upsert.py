"""Each review stands once, in its newest state, in whatever order and however often its records arrive."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.schemas.checks import check
from otzyv.schemas.report import Report
from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.day import CheckFailed
from otzyv.tasks.lake.delta.publish import EmptyDay, commit
from otzyv.tasks.lake.records.gone import Seen
from otzyv.tasks.lake.records.upsert import Upserted, upsert
from tests.faults.counts import turns

WHOLE = Seen(read=frozenset({"made-up.jsonl"}), there=frozenset({"made-up.jsonl"}))
"""A snapshot of the one file that records are said to come from."""
FIRST = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ATTACHED = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))
Written = tuple[str, int, int | None, str]
"""review_id, day of March, minute of the edit (None: never), text."""


def digest(record: Written) -> str:
    return "".join(map(str, record))


def bring(
    lake: Lake,
    records: Iterable[Written],
    files: Sequence[str] | None = None,
    *,
    found: bool = True,
    **options: object,
) -> Upserted:
    reviews, attachments = [], []
    for row, (review_id, day, edited, text) in enumerate(records):
        created = FIRST.replace(day=day)
        updated = FIRST + dt.timedelta(minutes=edited) if edited is not None else None
        reviews.append(
            dict.fromkeys(REVIEWS.names)
            | {"review_id": review_id, "text": text, "created_at": created, "updated_at": updated, "attachments": 1}
            | {
                "source_file": files[row] if files else "made-up.jsonl",
                "source_sha256": digest((review_id, day, edited, text)),
                "day": created.date(),
            }
        )
        attachments.append(
            {"review_id": review_id, "position": 0, "kind": "image", "day": created.date(), "record": row}
            | {"source_sha256": digest((review_id, day, edited, text)), "status": "missing"}
            | (
                {"content_sha256": f"{text}-file", "bytes": 1, "media_type": "image/png", "status": "ok"}
                if found
                else {}
            )
        )
    incoming = pa.Table.from_pylist(reviews, schema=REVIEWS.arrow)
    return upsert(lake.storage, incoming, pa.Table.from_pylist(attachments, schema=ATTACHED), **options)  # type: ignore[arg-type]


def state(lake: Lake) -> list[tuple[str, date, str]]:
    rows = lake.read(REVIEWS).to_pylist()
    files = {row["review_id"]: (row["content_sha256"], row["day"]) for row in lake.read(ATTACHMENTS).to_pylist()}
    assert len(files) == len(rows) == lake.read(ATTACHMENTS).num_rows
    for row in rows:
        assert files[row["review_id"]] == (f"{row['text']}-file", row["day"]), "attachments follow their review"
    return sorted((row["review_id"], row["day"], row["text"]) for row in rows)


def versions(lake: Lake) -> tuple[int, int]:
    return lake.snapshot(REVIEWS).version, lake.snapshot(ATTACHMENTS).version


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.create(tmp_path / "lake")


records = st.tuples(
    st.sampled_from("abc"), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 3)), st.sampled_from(["да", "нет"])
)


@settings(max_examples=8, deadline=None)
@given(st.lists(records, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_at_once_any_order_gives_the_same_lake_and_one_by_one_the_last_of_the_newest_stands(
    tmp_path_factory: pytest.TempPathFactory, given_records: list[Written], shuffled: random.Random
) -> None:
    other = list(given_records)
    shuffled.shuffle(other)
    lakes = [Lake.create(tmp_path_factory.mktemp("lake")) for _ in range(3)]
    for lake, brought in zip(lakes, (given_records, other), strict=False):
        done = bring(lake, brought)
        assert done.accepted + done.deduplicated == len(given_records)
        assert done.accepted == len({record[0] for record in given_records})
    at_once, at_once_otherwise, one_by_one = lakes
    assert state(at_once) == state(at_once_otherwise)
    newest: dict[str, Written] = {}
    for record in other:
        bring(one_by_one, [record])
        if record[0] not in newest or (record[2] or 0) >= (newest[record[0]][2] or 0):
            newest[record[0]] = record
    assert state(one_by_one) == sorted((name, date(2026, 3, day), text) for name, day, _, text in newest.values())


changes = st.lists(st.tuples(st.sampled_from("xyz"), st.lists(records, max_size=3)), min_size=1, max_size=6)


@settings(max_examples=10, deadline=None)
@given(changes)
@example([("x", [("a", 1, None, "раз"), ("b", 1, None, "раз")]), ("x", [("a", 1, None, "два"), ("b", 2, None, "два")])])
@example([("x", [("a", 1, None, "да")]), ("y", [("a", 1, None, "нет")]), ("z", [("b", 1, None, "да")])])
def test_files_that_are_corrected_between_ingests_give_the_lake_of_one_ingest_of_what_they_hold_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, list[Written]]]
) -> None:
    """Whether or not the corrections say when they were made; each ingest reads all files."""
    by_and_by = Lake.create(tmp_path_factory.mktemp("lake"))
    files: dict[str, list[Written]] = {}
    for name, there in written:
        was = {record[0]: record[2] for record in files.get(name, [])}
        # A correction is not older than what it corrects, and nothing is lost from a file.
        mended = {record[0]: record for record in files.get(name, [])}
        mended |= {record[0]: record for record in there if (record[2] or 0) >= (was.get(record[0]) or 0)}
        files[name] = list(mended.values())
        bring(by_and_by, *_all_of(files))
    at_once = Lake.create(tmp_path_factory.mktemp("lake"))
    bring(at_once, *_all_of(files))
    assert state(by_and_by) == state(at_once)


def _all_of(files: dict[str, list[Written]]) -> tuple[list[Written], list[str]]:
    """The records, and the file of each."""
    return [record for there in files.values() for record in there], [name for name in files for _ in files[name]]


def test_the_same_records_again_write_nothing(lake: Lake) -> None:
    given_records = [("a", 1, None, "раз"), ("b", 2, 5, "два")]
    assert bring(lake, given_records).changed == (date(2026, 3, 1), date(2026, 3, 2))
    before = versions(lake)
    again = bring(lake, given_records)
    assert (again.accepted, again.deduplicated, again.changed) == (0, 2, ())
    assert versions(lake) == before


def test_an_edit_that_moves_a_review_leaves_it_in_one_day_only(lake: Lake) -> None:
    bring(lake, [("a", 1, None, "старое"), ("b", 1, None, "другое")])
    bring(lake, [("a", 3, 7, "новое")])
    assert state(lake) == [("a", date(2026, 3, 3), "новое"), ("b", date(2026, 3, 1), "другое")]
    (moved,) = [row for row in lake.read(REVIEWS).to_pylist() if row["review_id"] == "a"]
    assert moved["former_day"] == date(2026, 3, 1)
    again = bring(lake, [("a", 3, 7, "новое")])
    assert (again.changed, again.left) == ((), (date(2026, 3, 1),)), "a run that died may have left that day unmade"


def test_a_moved_review_may_leave_its_day_empty(lake: Lake) -> None:
    bring(lake, [("a", 1, None, "старое")])
    bring(lake, [("a", 2, 1, "новое")])
    assert lake.snapshot(REVIEWS).days == (date(2026, 3, 2),)


@settings(max_examples=20, deadline=None)
@given(st.lists(records, max_size=4), st.lists(records, min_size=1, max_size=6))
@example([], [("a", 1, None, "да"), ("a", 1, None, "нет"), ("a", 1, 1, "да")])
def test_reviews_are_counted_of_which_no_edit_time_tells_the_newest_state(
    tmp_path_factory: pytest.TempPathFactory, first: list[Written], then: list[Written]
) -> None:
    lake = Lake.create(tmp_path_factory.mktemp("lake"))
    bring(lake, first)
    wanted = 0
    for name in {record[0] for record in then}:
        newest = max((record[2] or 0) for record in [*first, *then] if record[0] == name)
        wanted += len({record for record in then if record[0] == name and (record[2] or 0) == newest}) > 1
    assert bring(lake, then).undecided == wanted


def test_an_older_record_that_arrives_late_changes_nothing(lake: Lake) -> None:
    bring(lake, [("a", 1, 9, "новое")])
    assert bring(lake, [("a", 1, 3, "старое")]).accepted == 0
    assert state(lake) == [("a", date(2026, 3, 1), "новое")]


def test_a_snapshot_brings_edits_in_that_do_not_say_when_they_were_made(lake: Lake) -> None:
    ids = "abcdef"
    for text in ("раз", "два", "раз"):
        bring(lake, [(each, 1, None, text) for each in ids], seen=WHOLE)
        assert state(lake) == [(each, date(2026, 3, 1), text) for each in ids]
    before = versions(lake)
    bring(lake, [(each, 1, None, "раз") for each in ids], seen=WHOLE)
    assert versions(lake) == before


def test_what_a_snapshot_no_longer_holds_is_gone_and_an_empty_one_empties_nothing_unasked(lake: Lake) -> None:
    bring(lake, [("a", 1, None, "раз"), ("b", 1, None, "два")])
    bring(lake, [("a", 1, None, "раз")], seen=WHOLE)
    assert state(lake) == [("a", date(2026, 3, 1), "раз")]
    with pytest.raises(EmptyDay, match="holds no review of 2026-03-01"):
        bring(lake, [], seen=WHOLE)
    assert state(lake) == [("a", date(2026, 3, 1), "раз")]
    bring(lake, [], seen=WHOLE, allow_empty=True)
    assert state(lake) == []


@contextmanager
def dies_between_its_commits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from otzyv.tasks.lake.records import upsert as module

    def die_at_attachments(storage: object, snapshot: object, *rest: object, **named: object) -> object:
        if snapshot.table is ATTACHMENTS:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return commit(storage, snapshot, *rest, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "commit", die_at_attachments)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_run_that_died_between_its_two_commits_is_completed_by_the_next(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(lake, [("a", 1, None, "старое"), ("b", 1, None, "другое")])
    snapshot = [("a", 2, 1, "новое")]
    with dies_between_its_commits(monkeypatch):
        bring(lake, snapshot, seen=WHOLE, allow_empty=True)
    bring(lake, snapshot, seen=WHOLE, allow_empty=True)
    assert state(lake) == [("a", date(2026, 3, 2), "новое")]


def test_a_file_that_is_not_found_is_none_that_another_state_of_the_review_had(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(lake, [("a", 1, 1, "старое")])
    with dies_between_its_commits(monkeypatch):
        bring(lake, [("a", 1, 2, "новое")])
    assert bring(lake, [("a", 1, 2, "новое")], found=False).files_kept == 0
    assert lake.read(ATTACHMENTS)["content_sha256"].to_pylist() == [None]
    bring(lake, [("a", 1, 2, "новое")])
    assert bring(lake, [("a", 1, 2, "новое")], found=False).files_kept == 1
    assert state(lake) == [("a", date(2026, 3, 1), "новое")]


def test_a_review_that_two_writers_bring_into_different_days_at_once_stands_in_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(table: Table, *rows: object, **options: object) -> Report:
        monkeypatch.undo()
        bring(lake, [("a", 2, 2, "новое")])
        return check(table, *rows, **options)  # type: ignore[arg-type]

    bring(lake, [("b", 3, None, "другое")])
    monkeypatch.setattr("otzyv.tasks.lake.records.upsert.check", overtaken)  # called once it is decided what to write
    bring(lake, [("a", 1, 1, "старое")])
    assert state(lake) == [("a", date(2026, 3, 2), "новое"), ("b", date(2026, 3, 3), "другое")]


def test_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    chance = random.Random(7)
    given_records: list[Written] = [
        (f"id{n % 30}", 1 + n % 3, chance.choice([None, 1, 2]), chance.choice(["да", "нет"])) for n in range(90)
    ]
    from_files = [(record, file) for record in given_records for file in ("one.jsonl", "two.jsonl")]
    contents = set()
    for turn in turns("records in another order", 5, 100):
        lake = Lake.create(tmp_path / str(turn))
        bring(lake, [record for record, _ in from_files], [file for _, file in from_files])
        snapshots = [lake.snapshot(REVIEWS), lake.snapshot(ATTACHMENTS)]
        contents.add(
            tuple(
                Path(lake.storage.at(file.path)).read_bytes() for s in snapshots for day in s.days for file in s.of(day)
            )
        )
        chance.shuffle(from_files)
    assert len(contents) == 1


def test_the_days_of_an_ingest_are_checked_together_and_the_wrong_one_is_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(lake, [("before", 1, 0, "a")])
    seen, before = state(lake), {*lake.storage.files("reviews", recursive=True)}
    checked: list[str] = []

    def checking(table: Table, *rows: object, **options: object) -> Report:
        checked.append(table.name)
        return check(table, *rows, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("otzyv.tasks.lake.records.upsert.check", checking)
    rows = [
        dict.fromkeys(REVIEWS.names)
        | {"review_id": f"r{day}", "text": "b", "created_at": FIRST.replace(day=day), "attachments": 0}
        | {"rating": 9.0 if day == 3 else 5.0, "source_file": "f", "source_sha256": "s"}
        | {"day": FIRST.replace(day=day).date()}
        for day in (1, 2, 3, 4)
    ]
    with pytest.raises(CheckFailed, match=r"table 'reviews', 2026-03-03: failed: rating.range; nothing was publ"):
        upsert(lake.storage, pa.Table.from_pylist(rows, REVIEWS.arrow), pa.Table.from_pylist([], ATTACHED))
    assert checked == ["reviews"]
    assert state(lake) == seen
    assert {*lake.storage.files("reviews", recursive=True)} == before, "what was written is removed"
