"""Workbooks: rows of every sheet that names our columns, and one error for what is none."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC as ZULU
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter

from otzyv.tasks.sources import Notes, Record, RejectedRecord, SourceError
from otzyv.tasks.sources.again import Kept, again
from tests.tasks.sources.reviews import outcome, read_bytes

HEADER = ["review_id", "created_at", "text", "rating"]


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        day = book.add_format({"num_format": "dd.mm.yyyy hh:mm:ss"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, cell in enumerate(row):
                    if isinstance(cell, date):
                        sheet.write_datetime(y, x, cell, day)
                    elif cell is not None:
                        sheet.write(y, x, cell)
    return sink.getvalue()


def test_cells_are_read_by_what_they_are(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 12, 30, 5, tzinfo=ZULU).replace(tzinfo=None)
    rows: list[list[Any]] = [[*HEADER, "course_id", "author", "note"],
            ["r1", at, "Отлично", 5, 12, "Аня", 1], [101, date(2026, 3, 1), 5, "4,5", "007", 77.0, None],
            [None] * 7, ["r3", "01.03.2026", "=1+1", None, 1.5, None, None], ["r4", 46082.5, True, 6, None, None, None],
            [10**17, at, "a", None, None, None, None]]  # fmt: skip
    found = read_bytes(tmp_path, workbook({"Лист1": rows}), ending=".xlsx")
    first, second, *rest = found
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.review_id, first.created_at, first.text, first.rating, first.course_id, first.author) == (
        "r1", at.replace(tzinfo=ZULU), "Отлично", 5, "12", "Аня",
    )  # fmt: skip
    assert (second.review_id, second.created_at, second.text, second.rating, second.course_id, second.author) == (
        "101", datetime(2026, 3, 1, tzinfo=ZULU), "5", 4.5, "007", "77",
    )  # fmt: skip
    assert [outcome(one) for one in rest] == ["type", "timestamp", "type"]
    assert [one.offset for one in found] == [0, 1, 2, 3, 4]
    (serial,) = read_bytes(tmp_path, workbook({"a": [HEADER, ["r4", 46082.5, "a", 4]]}), ending=".xlsx", dates="excel")
    assert isinstance(serial, Record)
    assert serial.created_at == datetime(2026, 3, 1, 12, tzinfo=ZULU)


def test_every_sheet_with_our_columns_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    sheets: dict[str, list[list[Any]]] = {"О файле": [["Март"]], "Март": [[], HEADER, ["a", "2026-03-01", "Раз", 5]],
              "Апрель": [HEADER[::-1], [4, "Два", "2026-04-01", "b"]], "Пусто": []}  # fmt: skip
    notes = Notes()
    found = read_bytes(tmp_path, workbook(sheets), ending=".xlsx", notes=notes)
    assert [(outcome(one), one.offset) for one in found] == [("a", 0), ("b", 1)]
    assert list(notes.lines()) == [
        "reviews.xlsx: of its sheets 'Март', 'Апрель' is read; 'О файле', 'Пусто' without our columns is not"
    ]
    with pytest.raises(SourceError, match=r"reviews\.xlsx.*'review_id'.*nor does any other of its 2 sheets"):
        read_bytes(tmp_path, workbook({"a": [["x"]], "b": [["y"]]}), ending=".xlsx")


def test_a_workbook_that_is_none_is_one_error(tmp_path: Path) -> None:
    whole = workbook({"a": [HEADER, *([f"r{n}", "2026-03-01", f"Текст {n}", 5] for n in range(50))]})
    chance, broken = random.Random(6), 0
    for data in (b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0" + bytes(600), b"review_id,text", *(
        whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in chance.sample(range(len(whole)), 12)
    )):  # fmt: skip
        try:
            assert len(read_bytes(tmp_path, data, ending=".xlsx")) == 50
        except SourceError as error:
            broken += 1
            assert "reviews.xlsx is no sound workbook" in str(error)  # noqa: PT017 - some are read all the same
    assert broken >= 4


def test_a_cell_far_away_does_not_fill_the_memory(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write(2**20 - 1, 2**14 - 1, "x")
    with pytest.raises(SourceError, match="no sound workbook, or one too large"):
        read_bytes(tmp_path, sink.getvalue(), ending=".xlsx")


CELL = ('<table:table-cell office:value-type="string">', "</table:table-cell>")


def test_open_documents_are_read(tmp_path: Path) -> None:
    cells = [["review_id", "created_at", "text"], ["a", "2026-03-01", "Отлично & просто"]]
    rows = ""
    for row in cells:
        inner = "".join(f"<text:p>{escape(cell)}</text:p>".join(CELL) for cell in row)
        rows += f"<table:table-row>{inner}</table:table-row>"
    spaces = "".join(
        f' xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{short}:1.0"' for short in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="a">{rows}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    manifest = '<?xml version="1.0"?><m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", manifest)
    (found,) = read_bytes(tmp_path, sink.getvalue(), ending=".ods")
    assert isinstance(found, Record)
    assert found.text == "Отлично & просто"


def test_a_refused_row_is_read_again_as_it_was_read_first(tmp_path: Path) -> None:
    head = ["review_id", "text", "created_at", "rating"]

    def found(rating: int) -> list[Record | RejectedRecord]:
        rows: list[list[Any]] = [head, [17, 5, "2026-03-01", rating], ["b", 2.5, "2026-03-01", rating]]
        return read_bytes(tmp_path, workbook({"s": rows}), ending=".xlsx")

    for right, refusal in zip(found(4), found(9), strict=True):
        assert isinstance(right, Record)
        assert isinstance(refusal, RejectedRecord)
        raw = json.dumps({**json.loads(refusal.raw), "rating": 4}).encode()  # as if the rule had been fixed
        kept = Kept("a.xlsx", refusal.offset, raw, hashlib.sha256(raw).hexdigest(), refusal.context)
        (replayed,) = again(kept, mapping={}, timezone=ZoneInfo("UTC"))
        assert isinstance(replayed, Record)
        assert replayed.sha256 == right.sha256
