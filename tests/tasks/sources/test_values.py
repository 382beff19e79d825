"""What values mean, whatever format they came in: missing ones, ids, ratings, attached files."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import AttachmentRef, Record, RejectedRecord, remedy
from otzyv.tasks.sources.reasons import InvalidRecord
from otzyv.tasks.sources.values import attachments, rating, string
from tests.tasks.sources.reviews import MISSING, line, read_bytes

LOST = "is a number that has lost digits"


@pytest.mark.parametrize("word", [*MISSING, "", None, math.nan, Decimal("NaN")], ids=str)
@pytest.mark.parametrize("column", ["review_id", "text", "author", "course_id", "course_title", "source"])
def test_a_word_for_missing_is_none_in_every_column(word: Any, column: str) -> None:
    values = {column: word, "rating": word, "attachments": word}
    assert (string(values, column), rating(values), attachments(values)) == (None, None, ())


@pytest.mark.parametrize(
    "text", ["нет", "-", "NA", "na", "none", "Nan", "nil", "n/a", "0", "nan.", "no", "null и void"]
)
def test_other_words_are_texts(text: str) -> None:
    assert string({"text": text}, "text") == text


@pytest.mark.parametrize("missing", ["nan", "NULL", "\\N", ""])
def test_missing_words_in_a_table(tmp_path: Path, missing: str) -> None:
    rows = [["review_id", "created_at", "text", "rating", "updated_at", "attachments"],
            ["a", "2026-03-01", missing, missing, missing, missing], [missing, "2026-03-01", "Текст", "5", "", ""],
            ["b", missing, "Текст", "5", "", ""]]  # fmt: skip
    found = read_bytes(tmp_path, "\n".join(map(",".join, rows)).encode(), ending=".csv")
    first, *rest = found
    assert isinstance(first, Record)
    assert (first.text, first.rating, first.updated_at, first.attachments) == (None, None, None, ())
    assert [one.reason for one in rest if isinstance(one, RejectedRecord)] == [
        "review_id is missing",
        "created_at is missing",
    ]


IDS: list[tuple[Any, str]] = [
    (101, "101"), (101.0, "101"), ("101", "101"), ("101.0", "101"), ("12,0", "12"), (-5.0, "-5"), ("-5.0", "-5"),
    (Decimal("101.00"), "101"), (2.0**53, str(2**53)), (10**30, "1" + "0" * 30), ("007", "007"), ("007.0", "007.0"),
    ("1.10", "1.10"), ("1.5", "1.5"), ("v1.0", "v1.0"), ("5e12", "5e12"), ("1E5", "1E5"), ("-1001234567890_17",) * 2,
    ("1.0.0", "1.0.0"), ("12345678901234567890.0",) * 2, (0.0, "0"), ("0.0", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), IDS, ids=str)
@pytest.mark.parametrize("column", ["review_id", "course_id", "author"])
def test_whole_numbers_are_ids_by_their_digits(column: str, written: Any, meant: str) -> None:
    assert string({column: written}, column) == meant


@pytest.mark.parametrize("written", ["1,23457E+12", "1.23457E+12", "1e+16", "-1,2E+05", 2.0**53 * 2, 1e300])
@pytest.mark.parametrize("column", ["review_id", "course_id", "author"])
def test_numbers_that_have_lost_digits_are_refused_with_the_cure(column: str, written: Any) -> None:
    with pytest.raises(InvalidRecord) as fault:
        string({column: written}, column)
    assert fault.value.reason == f"{column} {LOST}"
    assert "make the column text" in remedy(fault.value.reason)


@pytest.mark.parametrize("written", [1.5, True, [1], {"a": 1}, Decimal("1.5"), math.inf])
def test_what_is_no_whole_number_is_no_id(written: Any) -> None:
    with pytest.raises(InvalidRecord, match="is not text"):
        string({"course_id": written}, "course_id")
    with pytest.raises(InvalidRecord, match="is not text"):
        string({"text": written}, "text")


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**53), 2**53))
def test_a_float_of_a_whole_number_is_the_id_of_that_number(number: int) -> None:
    assert string({"review_id": float(number)}, "review_id") == str(number)
    assert string({"review_id": str(number)}, "review_id") == str(number)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("5", 5), ("4,5", 4.5), ("4.5", 4.5), (" 3 ", 3), (5, 5), (1.5, 1.5), (Decimal("4.50"), 4.5), ("5.00", 5),
     ("4,500", 4.5), ("1", 1), ("+5", 5)],
)  # fmt: skip
def test_a_rating_may_be_text(written: Any, meant: float) -> None:
    assert rating({"rating": written}) == meant


@pytest.mark.parametrize("written", ["0", "5.1", "6", 0, math.inf, -math.inf, "50", Decimal("Infinity")])
def test_a_rating_is_from_one_to_five(written: Any) -> None:
    with pytest.raises(InvalidRecord, match="is not from 1 to 5"):
        rating({"rating": written})


@pytest.mark.parametrize("written", ["five", "5/5", "1e0", "٥", True, [5], "5 5", "inf", "0x5"])
def test_what_is_no_number_is_no_rating(written: Any) -> None:
    with pytest.raises(InvalidRecord, match="is not a number"):
        rating({"rating": written})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("photos/1.jpg", [("other", "photos/1.jpg")]), (["a.jpg", "b.ogg"], [("other", "a.jpg"), ("other", "b.ogg")]),
     ('["a.jpg"]', [("other", "a.jpg")]), ("['it', \"it's\"]", [("other", "it"), ("other", "it's")]),
     ("[{'kind': 'audio', 'uri': 'a.ogg'}]", [("audio", "a.ogg")]), ("[]", []), ([], []), ("[None]", None),
     ([{"uri": "a", "kind": None}], [("other", "a")]), (" [ ] ", []), ("{'a'}", None), ("[1, 2]", None), ("[a]", None),
     ("[" * 5000, None), ("['\\d']", [("other", "\\d")]), ('{"kind": "image", "uri": "a"}', None), ("[exit]", None),
     ("a,b.jpg", [("other", "a,b.jpg")]), ([["a"]], None), ("['a'" + ", 'a'" * 200 + "]", None)],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_attached_files(written: Any, meant: list[tuple[str, str]] | None) -> None:
    if meant is None:
        with pytest.raises(InvalidRecord, match=r"attachments is (no list of files|too long)"):
            attachments({"attachments": written})
    else:
        assert attachments({"attachments": written}) == tuple(AttachmentRef(*one) for one in meant)


def test_tokens_that_are_no_json_stand_for_missing_numbers(tmp_path: Path) -> None:
    bare = b'{"review_id": "r1", "created_at": "2026-03-01", "text": NaN, "rating": NaN, "author": NaN, "n": -Infinity}'
    (found,) = read_bytes(tmp_path, bare)
    (same,) = read_bytes(tmp_path, json.dumps({"review_id": "r1", "created_at": "2026-03-01"}).encode())
    assert isinstance(found, Record)
    assert isinstance(same, Record)
    assert found.sha256 == same.sha256


def test_ids_that_mean_the_same_are_one_review_in_every_format(tmp_path: Path) -> None:
    found = [
        *read_bytes(tmp_path, line(review_id=101) + b"\n" + line(review_id=101.0) + b"\n" + line(review_id="101.0")),
        *read_bytes(tmp_path, b"review_id,created_at,text\n101,2026-03-01,a\n101.0,2026-03-01,a\n", ending=".csv"),
    ]
    assert {one.review_id for one in found} == {"101"}
