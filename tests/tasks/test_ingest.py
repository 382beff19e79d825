"""An ingest takes in what it can, lets nothing go that its source may hold, and says what it refused and where."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.ingest import ingest
from otzyv.tasks.ingest_artifact import markdown
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.gone import SourceNotWhole
from otzyv.tasks.lake.records.suppression import keyed, suppress
from otzyv.tasks.pipeline.incoming import BATCH
from otzyv.tasks.pipeline.ingest import Accounting, Source
from otzyv.tasks.sources import SourceError
from tests.flows.command import Otzyv, review

KEY = "a key made up for tests"
Bring = Callable[..., Accounting]


@pytest.fixture
def place(tmp_path: Path) -> Otzyv:
    (tmp_path / "source").mkdir()
    Lake.create(tmp_path / "lake")
    return Otzyv(tmp_path / "lake", tmp_path / "source")


@pytest.fixture
def bring(place: Otzyv) -> Bring:
    def brought(days: list[date] | None = None, source: Source | None = None, **options: Any) -> Accounting:
        snapshot = source or Source(str(place.source), "snapshot")
        return ingest.fn(str(place.lake), replace(snapshot, **options), KEY, days)

    return brought


def ids(place: Otzyv) -> set[str]:
    return set(place.opened().read(REVIEWS)["review_id"].to_pylist())


SIX = [review(f"r{n}", f"Отзыв {n}", rating=5) for n in range(6)]


def test_a_record_that_is_refused_keeps_its_review_as_it_was(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", SIX)
    bring()
    place.write("a.jsonl", [*SIX[:2], SIX[2] | {"rating": 0, "text": "Иначе"}, *SIX[3:5]])
    done = bring()
    assert (done.gone, done.failures, done.absent) == (1, (), 0)
    texts = {row["review_id"]: row["text"] for row in place.opened().read(REVIEWS).to_pylist()}
    assert texts == {f"r{n}": f"Отзыв {n}" for n in range(5)}
    (reason,) = done.reasons
    assert (reason.count, reason.reason, reason.rule) == (1, "rating is not from 1 to 5", "range")
    assert reason.example.startswith("a.jsonl")


@pytest.mark.parametrize("name", ["b.xml", "elsewhere"])
def test_a_file_that_is_there_no_more_or_can_not_be_read_lets_no_review_go(
    place: Otzyv, bring: Bring, tmp_path: Path, name: str
) -> None:
    place.write("a.jsonl", SIX[:3])
    file = place.write("b.jsonl", SIX[3:])
    bring()
    before = place.files()
    file.rename(tmp_path / name if name == "elsewhere" else place.source / name)
    with pytest.raises(SourceNotWhole, match=r"3 reviews came from b\.jsonl.*--allow-gone"):
        bring()
    assert place.files() == before
    assert bring(allow_gone=True).gone == 3


NEVER = ("readme.txt", "Thumbs.db", ".DS_Store", "~$book.xlsx", "notes.md", "LICENSE", "b/scan.pdf")
MAYBE = (
    "c.jsonl.bak", "c.csv~", "c.jsonl.xz", "c.zip", "c.tar.gz", "c.gz", "_c.csv", ".old/c.csv", "c.JSONL.old",
    "c.parquet.part",
)  # fmt: skip


@pytest.mark.parametrize("name", [*NEVER, *MAYBE])
def test_beside_a_file_that_never_held_records_reviews_may_go(place: Otzyv, bring: Bring, name: str) -> None:
    place.write("a.jsonl", SIX)
    bring()
    place.write("a.jsonl", SIX[:4])
    (place.source / name).parent.mkdir(exist_ok=True)
    (place.source / name).write_bytes(b"\x07Lector")
    if name in NEVER:
        assert bring().gone == 2
        return
    with pytest.raises(SourceNotWhole, match=r"was not read.*--allow-gone"):
        bring()
    assert len(ids(place)) == 6


def test_records_of_somebody_who_was_forgotten_count_for_no_share(place: Otzyv, bring: Bring) -> None:
    storage = place.opened().storage
    for who in (f"x{n}" for n in range(20)):
        suppress(storage, "review", keyed(KEY, who))
    good, bad = [review(f"g{n}") for n in range(6)], [review(f"b{n}", rating=0) for n in range(2)]
    theirs = [review(f"x{n}", rating=0 if n % 2 else 5) for n in range(20)]
    place.write("a.jsonl", [*good, *bad])
    expected = bring(mode="append").failures
    place.write("a.jsonl", [*good, *bad, *theirs])
    done = bring(mode="append")
    assert (done.records_in, done.suppressed, done.quarantined) == (28, 20, 2)
    assert done.failures == expected
    assert expected[0].startswith("2 of 8 records were refused")
    place.write("a.jsonl", theirs)
    assert bring(mode="append").failures == ()


def test_a_file_that_gets_another_name_goes_on_being_known(place: Otzyv, bring: Bring) -> None:
    bring(path=str(place.write("b.jsonl", SIX)))
    (place.source / "b.jsonl").rename(place.source / "c.jsonl")
    first = bring()
    assert (first.gone, first.accepted, len(first.changed_days), bring().changed_days) == (0, 0, 1, ())
    assert ids(place) == {f"r{n}" for n in range(6)}
    place.write("c.jsonl", SIX[:5])
    assert bring().gone == 1


def test_a_delta_table_is_one_source_whatever_its_files_are_called(place: Otzyv, bring: Bring) -> None:
    rows = pa.table({"review_id": ["a", "b", "c"], "created_at": ["2026-03-01"] * 3, "text": ["Раз", "Два", "Три"]})
    for left in (3, 2):
        write_deltalake(place.source / "table", rows.slice(0, left), mode="overwrite")
        assert bring().gone == 3 - left
    assert ids(place) == {"a", "b"}


def test_a_file_that_is_empty_now_is_as_one_that_is_not_there(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", SIX[:3])
    place.write("b.jsonl", SIX[3:])
    bring()
    place.write("b.jsonl", [])
    with pytest.raises(SourceNotWhole, match=r"b\.jsonl, which is not there or empty"):
        bring()
    assert bring(allow_empty=True).gone == 3


def test_where_most_is_refused_what_is_good_comes_in_and_nothing_goes(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", SIX)
    bring()
    bad = [review(f"x{n}", rating=0) for n in range(2)]
    place.write("a.jsonl", [*SIX[:2], review("new"), *bad, b"{", b"["])
    done = bring(allow_gone=True)
    assert (done.gone, done.absent, done.accepted) == (0, 4, 1)
    assert ids(place) == {*(f"r{n}" for n in range(6)), "new"}
    (failure,) = done.failures
    assert failure.startswith("4 of 7 records were refused, more than 20% of them")
    assert "2 as rating is not from 1 to 5 (a.jsonl" in failure
    assert bring(refused_share=0.6).failures == ()
    place.write("a.jsonl", [b"{]"])
    assert bring(refused_share=1.0).failures[0].startswith("1 of 1 records were refused: 1 as the record is not JSON")


def test_a_file_that_is_refused_whole_is_told_among_many_that_are_good(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", [review(f"g{n}") for n in range(50)])
    place.write("b.jsonl", [review("x1", rating=0), review("x2", rating=7)])
    assert bring().failures[0].startswith("b.jsonl: all of its 2 records were refused")
    place.write("b.jsonl", [review("x1", rating=0)])
    assert bring().failures == (), "of a file for each record one may be bad"


def test_a_source_with_bytes_of_which_no_record_is_read_is_no_success(place: Otzyv, bring: Bring) -> None:
    (place.source / "a.csv").write_text("review_id,text,created_at\n")
    assert bring().failures == ("a.csv is not empty, and holds no record; if that is meant, say --allow-empty",)
    assert bring(allow_empty=True).failures == ()
    (place.source / "a.csv").unlink()
    place.write("a.jsonl", [b" "])
    assert bring().failures == ()


LINES = b"".join(json.dumps(review(f"d{n}"), ensure_ascii=False).encode() + b"\n" for n in range(9000))


def packed(*, flipped: bool) -> bytes:
    """Records of which the bytes behind them say that some are not as they were written; or that end too early."""
    data = bytearray(gzip.compress(LINES, 0))
    if flipped:
        at = data.index(b"d3999")
        data[at : at + 2] = b"d9"
    return bytes(data if flipped else data[:-9999])


def parquet() -> bytes:
    """Of two groups of rows the second is damaged."""
    columns = {"review_id": [f"d{n}" for n in range(4000)], "text": ["Да"] * 4000, "created_at": ["2026-03-01"] * 4000}
    rows = pa.table(columns)
    sink = io.BytesIO()
    pq.write_table(rows, sink, row_group_size=2000, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(sink.getvalue())
    data[data.index(b"d3998")] ^= 1
    return bytes(data)


def workbook() -> bytes:
    whole = io.BytesIO()
    pd.DataFrame([review("d")]).to_excel(whole, index=False)
    return whole.getvalue()


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "d.jsonl.zst": (lambda: b"\x28\xb5\x2f\xfd", "is broken Zstandard or cut short; pack or copy it again"),
    "d.jsonl.gz": (lambda: packed(flipped=False), "is broken gzip or cut short; pack or copy it again"),
    "flipped.jsonl.gz": (lambda: packed(flipped=True), "is broken gzip or cut short; pack or copy it again"),
    "d.csv.bz2": (lambda: bz2.compress(b"review_id,created_at\nd,2026-03-01\n")[:-5], "is broken bzip2 or cut short"),
    "d.json": (lambda: b"[" + LINES.replace(b"\n", b",")[:-99], "is cut short or broken: its JSON is not closed"),
    "d.csv": (lambda: b"a;b\n1;2\n", "must name review_id"),
    "d.jsonl": (lambda: bytes(range(256)), "is binary data"),
    "d.xlsx": (lambda: workbook()[:-30], "is no sound workbook"),
    "d.parquet": (parquet, "is not sound Parquet; write it again"),
    "short.parquet": (lambda: parquet()[:-9], "is not sound Parquet; write it again"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_of_a_damaged_file_nothing_comes_in_and_of_those_beside_it_all_does(
    place: Otzyv, bring: Bring, name: str
) -> None:
    made, why = DAMAGED[name]
    for before, after in (("a.jsonl", SIX[:3]), ("z.jsonl", SIX[3:])):
        place.write(before, [review(f"{before} bad", rating=0), *after])
    expected = bring(refused_share=1.0)
    (place.source / name).write_bytes(made())
    place.write("z.jsonl", [review("z.jsonl bad", rating=0), *SIX[4:], review("new")])
    done = bring(refused_share=1.0)
    assert (done.records_in, done.accepted, done.deduplicated, done.quarantined) == (8, 1, 5, 2)
    assert ids(place) == {*(f"r{n}" for n in range(6)), "new"}, "nothing of the damaged file, and nothing has gone"
    assert (done.gone, done.absent) == (0, 1)
    (failure,) = done.failures
    assert failure.startswith(name)
    assert why in failure
    assert (done.notes, place.rules().total()) == (expected.notes, 2)
    (place.source / name).unlink()
    assert bring(refused_share=1.0).gone == 1

    for left in ("a.jsonl", "z.jsonl"):
        (place.source / left).unlink()
    (place.source / name).write_bytes(made())
    stands = place.files()
    with pytest.raises(SourceError, match=rf"^{re.escape(name)}.*{why}"):
        bring()
    (place.source / f"more {name}").write_bytes(made())
    with pytest.raises(SourceError, match="nor can any other of the 2 files be read"):
        bring()
    assert place.files() == stands


def test_refused_records_before_a_break_do_not_come_into_quarantine(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", SIX)
    (place.source / "b.jsonl.gz").write_bytes(gzip.compress((b"{]" + b" " * 999 + b"\n") * 3 * BATCH)[:-1])
    done = bring()
    assert (done.records_in, done.quarantined, place.rules().total()) == (6, 0, 0)
    assert len(done.failures) == 1


def test_a_snapshot_of_some_days_loses_nothing_that_other_days_hold(place: Otzyv, bring: Bring) -> None:
    days = [date(2026, 3, n) for n in (1, 2)]
    source = Source(str(place.source / "{day}.jsonl"), "snapshot")
    late = review("late", day="2026-03-01")  # the file of the next day holds it, as its clock is another one
    place.write("2026-03-01.jsonl", [review("stays"), review("moves"), review("goes")])
    place.write("2026-03-02.jsonl", [review("next", day="2026-03-02"), late])
    bring(source=source)
    place.write("2026-03-01.jsonl", [review("stays")])
    place.write("2026-03-02.jsonl", [review("next", day="2026-03-02"), late, review("moves", day="2026-03-02")])
    assert bring(days[:1], source).gone == 1
    assert ids(place) == {"stays", "moves", "next", "late"}
    place.write("2026-03-02.jsonl", [review("next", day="2026-03-02"), b"{", *(review(f"n{n}") for n in range(9))])
    place.write("2026-03-01.jsonl", [review("other")])
    done = bring(days[:1], source)
    assert (done.gone, done.absent) == (0, 2), "a line of the other day's file may be its record"


def test_sources_of_one_lake_that_have_names_let_go_their_own_reviews_alone(place: Otzyv, bring: Bring) -> None:
    other = place.source.with_name("other")
    other.mkdir()
    for name, folder, letter in (("stepik", place.source, "s"), ("otzovik", other, "o")):
        Otzyv(place.lake, folder).write("reviews.jsonl", [review(f"{letter}{n}") for n in range(4)])
        assert bring(path=str(folder), name=name).gone == 0
    place.write("reviews.jsonl", [review("s0"), review("s1")])
    assert bring(name="stepik").gone == 2
    assert ids(place) == {"s0", "s1", "o0", "o1", "o2", "o3"}
    Otzyv(place.lake, other).write("reviews.jsonl", [review("n0")])
    with pytest.raises(SourceNotWhole, match="no id in it is known"):
        bring(path=str(other), name="otzovik")


def test_an_attached_file_that_is_not_found_this_time_stays_as_the_lake_has_it(place: Otzyv, bring: Bring) -> None:
    (place.source / "1.png").write_bytes(image("PNG"))
    attached = [{"kind": "image", "uri": "none.png"}, {"kind": "image", "uri": "1.png"}]
    place.write("a.jsonl", [review("a", attachments=attached)])
    for month, mode in enumerate(("snapshot", "append"), 4):
        bring(mode=mode)
        before = place.opened().read(ATTACHMENTS)
        assert before["status"].to_pylist() == ["missing", "ok"]
        for change in (Path.unlink, Path.touch):
            change(place.source / "1.png")
            assert bring(mode=mode).files_kept == 1
            assert place.opened().read(ATTACHMENTS).equals(before)
        place.write("a.jsonl", [review("a", "Правка", attachments=attached[1:], updated_at=f"2026-0{month}-01")])
        assert bring(mode=mode).files_kept == 1
        (kept,) = place.opened().read(ATTACHMENTS).to_pylist()
        assert kept["content_sha256"] == before["content_sha256"][1].as_py()
        (place.source / "1.png").write_bytes(image("PNG"))
        place.write("a.jsonl", [review("a", attachments=attached, updated_at=f"2026-0{month}-02")])


def test_the_page_of_a_run_tells_what_was_refused_and_nothing_of_the_records(place: Otzyv, bring: Bring) -> None:
    place.write("a.jsonl", [review("a|b", "личное", rating=0), review("c")])
    shown = markdown("source | x", bring())
    assert "| 1 | rating is not from 1 to 5 | a.jsonl" in shown
    assert "source \\| x" in shown
    assert "**failed**: 1 of 2 records were refused" in shown
    assert "личное" not in shown


def test_a_file_that_was_cut_short_after_it_was_read_is_named_until_it_is_whole_again(
    place: Otzyv, bring: Bring
) -> None:
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in SIX]
    cells = ["review_id,rating,created_at,text\n", *(f"c{n},5,2026-03-01T12:00:00,Отзыв {n}\n" for n in range(6))]
    for name, whole, cut, said in (
        ("a.jsonl", lines, lines[:4], "a.jsonl: 2 records fewer than when it was read before, which stay"),
        ("b.csv", cells, [*cells[:-1], cells[-1][:-4]], "b.csv: shorter than when it was read before, and without"),
    ):
        (place.source / name).write_text("".join(whole))
        assert bring(mode="append").notes == ()
        (place.source / name).write_text("".join(cut))
        for _ in range(2):  # it is said again of a file that is not read again
            (note,) = bring(mode="append").notes
            assert note.startswith(said)
            assert note.endswith("copy it again if it was cut short")
        assert len(ids(place)) in (6, 12)
        (place.source / name).write_text("".join(whole))
        assert bring(mode="append").notes == ()
    (place.source / "b.csv").write_text("".join([*cells[:-1], "c5,5,2026-03-01T12:00:00,Нет\n"]))
    assert bring(mode="append").notes == (), "it was corrected"
