"""CSV: every row is a record or a refusal, and broken quoting takes no other row with it."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import AttachmentRef, Notes, Record, SourceError, files, read
from tests.tasks.sources.reviews import MISSING, UTC, outcome, read_bytes

HEADER = b"review_id,created_at,text,rating\n"


def row(name: str, text: str = "Текст") -> bytes:
    return f"{name},2024-05-01,{text},5\n".encode()


def written(
    rows: Sequence[Sequence[str]], line_end: str, delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL
) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, delimiter=delimiter, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ['"', '""', '","', "\n", "\r", "\r\n", '"\n"', 'a"b', " ", "a,b", "\u2028", "'", "a;b", '";"', "\t", '"\t"']
)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(cell, max_size=12),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    rating=st.sampled_from(["4.5", "4,5"]),
)
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], line_end: str, mark: bool, delimiter: str, quoting: Any,
    rating: str,
) -> None:  # fmt: skip
    rows = [[f"r{i}", "2024-05-01", text, rating] for i, text in enumerate(texts)]
    data = written([["review_id", "created_at", "text", "rating"], *rows], line_end, delimiter, quoting)
    found = read_bytes(tmp_path_factory.getbasetemp(), b"\xef\xbb\xbf" * mark + data, ending=".csv")
    assert [(one.review_id, one.text or "", one.rating) for one in found if isinstance(one, Record)] == [
        (f"r{i}", "" if text in MISSING else text, 4.5) for i, text in enumerate(texts)
    ]
    assert [one.offset for one in found] == list(range(len(texts)))


BLANK = b' \t\r\n\v\f,"\xef\xbb\xbf'

pieces = st.sampled_from(
    [row("a"), row("b", '"х\ny"'), row("c", '"'), b'"', b",", b"\n", b"\r\n", b"\r", b"\xff", b"\0"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces | st.binary(max_size=8), max_size=12).map(b"".join))
def test_any_bytes_are_accounted_for_row_by_row(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    data = row("first") * 20 + data  # so that the file does not begin as binary data
    found = read_bytes(tmp_path_factory.getbasetemp(), HEADER + data, ending=".csv")
    assert [one.offset for one in found] == list(range(len(found)))
    rest = data
    for one in found:  # in order, byte for byte, with nothing but blank lines and rows of separators between
        before, rest = rest.split(one.raw, 1)
        assert not before.strip(BLANK)
    assert not rest.strip(BLANK)


@pytest.mark.parametrize(
    ("bad", "outcomes"),
    [
        (b"x,2024-05-01,a\n", ["row_format"]),
        (b"x,2024-05-01,a,5,6\n", ["row_format"]),
        (b"x,2024-05-01,a,5,,\n", ["x"]),  # separators at the end
        (b"x\n", ["row_format"]),
        (b'x,2024-05-01,"a" b,5\n', ["row_format"]),
        (b'x,2024-05-01,"never closed,5\n', ["row_format"]),
        (b'x,2024-05-01,5" wide,5\n', ["row_format"]),
        # this one "closes" where the text of d opens
        (b'x,2024-05-01,"open,5\n' + row("c") + row("d", '"fi\nne"'), ["row_format", "c", "d"]),
        (b'x,2024-05-01,"two\nlines",5,6\n', ["row_format"]),
        (b"x,2024-05-01,\xd2\xe5\xea\xf1\xf2,5\n", ["encoding"]),
        (b"x,2024-05-01,a\0b,5\n", ["control"]),
        (b"x,2024-05-01,a,five\n", ["type"]),
        (b"x,2024-05-01,a,nan\n", ["x"]),
        (b"x,2024-05-01,a,6\n", ["range"]),
        (b",2024-05-01,a,5\n", ["missing_field"]),
        (b"x,01/05/2024,a,5\n", ["timestamp"]),
        (b"\n \n\r\n", []),
        (b',,,\n"",,,\n , ,,\n', []),  # rows of separators alone
        (b",,,,,,\n\xef\xbb\xbfx,2024-05-01,a,5\n", ["x"]),
    ],
    ids=lambda value: ascii(value)[:50],
)  # fmt: skip
def test_a_bad_row_is_refused_alone(tmp_path: Path, bad: bytes, outcomes: list[str]) -> None:
    found = read_bytes(tmp_path, HEADER + row("a") + bad + row("z"), ending=".csv")
    assert [outcome(one) for one in found] == ["a", *outcomes, "z"]


def test_a_row_too_large_is_refused_without_being_held_and_without_its_lines_being_taken_for_rows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "reviews.csv"
    with path.open("wb") as out:
        out.write(HEADER + row("a") + b'x,2024-05-01,"')
        for _ in range(17):
            out.write((b"y" * 1000 + b'\nfake,2024-05-01,""forged"",5\n') * 1024)
        out.write(b'",5\n' + row("b") + b'c,2024-05-01,"never closed,5\n')
        for number in range(2000):
            out.write(row(f"d{number}", "z" * 10_000))
    tracemalloc.start()
    outcomes = [outcome(one) for one in read(files(path)[0], mapping={}, timezone=UTC)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcomes == ["a", "too_large", "b", "row_format", *(f"d{number}" for number in range(2000))]
    assert peak < 40 * 2**20


def test_cells_of_a_megabyte_and_attachments_are_read(tmp_path: Path) -> None:
    text = "Отзыв, " * 200_000
    rows = [["review_id", "created_at", "text", "attachments"],
            ["r1", "2024-05-01", text, '[{"kind": "image", "uri": "a.jpg"}, {"uri": "b"}]'],
            ["r2", "2024-05-01", "", '{"kind": "image"}'], ["r3", "2024-05-01", "", "a.jpg"]]  # fmt: skip
    first, *rest = read_bytes(tmp_path, written(rows, "\n"), ending=".csv")
    assert isinstance(first, Record)
    assert first.text == text
    assert first.attachments == (AttachmentRef("image", "a.jpg"), AttachmentRef("other", "b"))
    assert [outcome(one) for one in rest] == ["type", "r3"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_header_tells_the_delimiter_and_each_row_must_keep_to_it(tmp_path: Path, delimiter: str) -> None:
    header = "Ид. отзыва;Когда, по Москве;Отзыв;rating"
    rows = ["a;2024-05-01;Дорого, долго;5", "b,2024-05-01,Текст,5", ";;;", 'c;2024-05-01;"5;",5', "d;2024-05-01;;"]
    data = "\r\n".join([header, *rows, ""]).replace(";", delimiter).encode()
    mapping = {"review_id": "Ид. отзыва", "created_at": "Когда, по Москве", "text": "Отзыв"}
    found = read_bytes(tmp_path, data, ending=".csv", mapping=mapping)
    assert [outcome(one) for one in found] == ["a", "row_format", "row_format", "d"]
    assert isinstance(found[0], Record)
    assert found[0].text == "Дорого, долго"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"review_id,text\nr1,a\n", "'created_at'"),
        (b"review_id:created_at:text\n", "none of its 1 columns is named 'review_id'.*semicolons, tabs or bars"),
        (b'"review_id";"id, old";"text"\n', "none of its 3 columns is named 'created_at'"),
        (b"review_id,created_at\n", "neither text nor attachments"),
        (b"review_id,created_at,text,text\n", "2 columns are named 'text'"),
        ("review_id,created_at,щщъъыы\n".encode("cp1251"), "not UTF-8"),
        (b'review_id,created_at,"text\n', "quotes"),
        (b"review_id," * 200_000, "quotes|first line"),
        (bytes(range(256)) * 8, "binary"),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_a_file_without_the_columns_is_one_error_that_shows_no_content(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(SourceError, match=rf"reviews\.csv.*({what})"):
        read_bytes(tmp_path, data, ending=".csv")


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=;\n", "\ufeff\ufeff"])
@pytest.mark.parametrize("tail", ["", ";", ";;;"])
def test_a_first_line_may_name_the_separator_and_lines_may_end_in_it(tmp_path: Path, first: str, tail: str) -> None:
    header = f"review_id; created_at ;text{tail}\r\n"
    rows = "r1;2024-05-01;Хорошо, но долго\r\nr2;2024-05-01;Да;;\r\n\r\n;;;\r\n"
    found = read_bytes(tmp_path, (first + header + rows).encode(), ending=".csv")
    assert [(outcome(one), one.offset) for one in found] == [("r1", 0), ("r2", 1)]


def test_an_index_that_pandas_wrote_is_no_column_of_ours(tmp_path: Path) -> None:
    data = b",review_id,created_at,text,Unnamed: 0\n0,r1,2024-05-01,a,0\n1,r2,2024-05-01,b,1\n"
    assert [outcome(one) for one in read_bytes(tmp_path, data, ending=".csv")] == ["r1", "r2"]


@pytest.mark.parametrize(("written", "meant"), [("ratng", "rating"), ("Author", "author"), ("course id", "course_id")])
def test_a_column_that_is_ours_but_for_a_slip_is_told(tmp_path: Path, written: str, meant: str) -> None:
    head = ["review_id", "text", "created_at", "rating", "author", "course_id"]
    said = ",".join(written if name == meant else name for name in head)
    notes = Notes()
    (record,) = read_bytes(tmp_path, f"{said}\na,b,2026-03-01,5,в,1\n".encode(), ending=".csv", notes=notes)
    assert isinstance(record, Record)
    assert list(notes.lines()) == [
        f"reviews.csv: no column is named {meant!r}, and {written!r} is not read; is it meant?"
    ]


def test_other_columns_are_not_told_as_they_may_be_a_review(tmp_path: Path) -> None:
    notes = Notes()
    read_bytes(tmp_path, b"review_id,text,created_at,my private story\na,b,2026-03-01,5\n", ending=".csv", notes=notes)
    assert not list(notes.lines())
