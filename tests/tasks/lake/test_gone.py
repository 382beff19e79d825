"""What a snapshot lets go, and when it lets nothing go, by the files that reviews came from."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.lake.records.gone import Seen, SourceNotWhole, gone

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


def lake(*rows: tuple[str, str, date]) -> pa.Table:
    """review_id, source_file, day of each review."""
    schema = pa.schema([REVIEWS.arrow.field(name) for name in ("review_id", "source_file", "day")])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


SIX = lake(*((f"r{n}", "a.jsonl" if n < 3 else "b.jsonl", FIRST) for n in range(6)))


def decided(reviews: pa.Table, ids: Collection[str], *files: str, **seen: Any) -> tuple[list[str], int]:
    """What goes, and how much stays as that can't be told, of a snapshot that holds these ids in these files."""
    whole = {"read": frozenset(files), "there": frozenset(files)} | seen
    ids_gone, left = gone(reviews, pa.array(sorted(ids), pa.string()), Seen(**whole))
    return sorted(ids_gone.to_pylist()), left


def test_what_no_file_holds_any_more_goes() -> None:
    assert decided(SIX, ("r0", "r1", "r3", "r4", "r5"), "a.jsonl", "b.jsonl") == (["r2"], 0)


def test_a_refused_record_keeps_its_review_and_one_without_an_id_keeps_all() -> None:
    held = ("r0", "r3", "r4", "r5")
    assert decided(SIX, held, "a.jsonl", "b.jsonl", refused=frozenset({"r2"})) == (["r1"], 0)
    assert decided(SIX, held, "a.jsonl", "b.jsonl", nameless=1) == ([], 2)
    assert decided(SIX, held, "a.jsonl", "b.jsonl", nameless=1, allowed=True) == (["r1", "r2"], 0)
    assert decided(SIX, held, "a.jsonl", "b.jsonl", failed=True, allowed=True) == ([], 2)


@pytest.mark.parametrize(
    ("ids", "files", "seen", "why"),
    [
        (("r0", "r1", "r2"), ("a.jsonl",), {}, "3 reviews came from b.jsonl, which is not there"),
        (("r0", "r1", "r2", "r3"), ("a.jsonl", "b.jsonl"), {"aside": ["b.xml"]}, "b.xml was not read"),
        (("x0", "x1"), ("a.jsonl", "b.jsonl"), {}, "no id in it is known"),
    ],
)
def test_a_source_that_may_not_be_whole_is_refused_unless_told_otherwise(
    ids: tuple[str, ...], files: tuple[str, ...], seen: Any, why: str
) -> None:
    with pytest.raises(SourceNotWhole, match=why):
        decided(SIX, ids, *files, **seen)
    absent = sorted({f"r{n}" for n in range(6)} - {*ids})
    assert decided(SIX, ids, *files, **seen, allowed=True) == (absent, 0)


def test_most_of_many_reviews_go_only_if_that_is_meant() -> None:
    many = lake(*((f"r{n}", "a.jsonl", FIRST) for n in range(60)))
    for left in (31, 30):
        assert len(decided(many, [f"r{n}" for n in range(left)], "a.jsonl")[0]) == 60 - left
    with pytest.raises(SourceNotWhole, match=r"31 reviews.*more than 50% of the 60"):
        decided(many, [f"r{n}" for n in range(29)], "a.jsonl")


def test_nothing_lacks_in_a_source_whose_files_were_renamed_or_which_holds_more_than_can_be_read() -> None:
    every = [f"r{n}" for n in range(6)]
    assert decided(SIX, every, "c.csv", aside=["b.xml"]) == ([], 0)


def test_a_snapshot_of_some_days_speaks_of_the_files_that_were_read() -> None:
    # late: of a file whose day begins earlier than the lake's; moved: edited into the next day's file
    reviews = lake(
        ("stays", "1.jsonl", FIRST),
        ("goes", "1.jsonl", FIRST),
        ("moved", "1.jsonl", FIRST),
        ("late", "2.jsonl", FIRST),
        ("next", "2.jsonl", SECOND),
        ("lost", "0.jsonl", date(2026, 2, 1)),
    )
    some: dict[str, Any] = {"days": frozenset({FIRST}), "there": frozenset({"1.jsonl", "2.jsonl"})}

    def elsewhere(sure: bool) -> Any:
        return lambda ids: ({"moved"} & set(ids), sure)

    assert decided(reviews, ["stays"], "1.jsonl", elsewhere=elsewhere(True), **some) == (["goes"], 0)
    assert decided(reviews, ["stays"], "1.jsonl", elsewhere=elsewhere(False), **some) == ([], 1)
    with pytest.raises(SourceNotWhole, match=r"1 review came from 0\.jsonl"):
        decided(reviews, ["stays"], "1.jsonl", **some | {"days": frozenset({FIRST, date(2026, 2, 1)})})


def test_a_source_speaks_of_its_own_reviews_alone() -> None:
    reviews = lake(
        ("a", "r.csv", FIRST), ("b", "stepik//r.csv", FIRST), ("c", "stepik//r.csv", FIRST), ("d", "x//r.csv", FIRST)
    )
    assert decided(reviews, ["new"], "r.csv") == (["a"], 0)
    assert decided(reviews, ["b"], "stepik//r.csv", source="stepik") == (["c"], 0)
    assert decided(reviews, ["new"], "step//r.csv", source="step") == ([], 0)
