"""Spreadsheets: Excel's .xlsx, .xlsm, .xlsb and .xls, and OpenDocument's .ods.

Every sheet whose first row that is not empty names our columns is read, and the others are named.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Any, BinaryIO

from otzyv.tasks.sources import workbook
from otzyv.tasks.sources.format import Asked, Format, Row
from otzyv.tasks.sources.reasons import RECORD_BYTES, InvalidRecord, SourceError

_TEXTS = frozenset({"text", "course_title", "source"})
"""Columns of text, where a number was typed as one: 5 is the text 5."""
_canonical = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=datetime.isoformat
).encode


def rows(stream: BinaryIO, asked: Asked) -> Iterator[Row]:
    """Every row that is not empty, as canonical JSON under the sheet's names, numbered from 0 over all sheets read."""
    number = 0
    read: list[str] = []
    failures: dict[str, SourceError] = {}
    for sheet, cells in _sheets(stream, asked.name):
        names = [str(cell).strip() for cell in next(cells, [])]
        try:
            chosen = asked.columns(names)
        except SourceError as error:
            failures[sheet] = error
            continue
        read.append(sheet)
        at = {ours: names.index(theirs) for ours, theirs in chosen.items()}
        for row in cells:
            cells_of = {ours: row[i] if i < len(row) else "" for ours, i in at.items()}
            found = {ours: _text(value) if ours in _TEXTS else value for ours, value in cells_of.items()}
            row_read = _row(number, {chosen[ours]: value for ours, value in found.items() if value != ""}, found)
            yield row_read._replace(layout={"columns": asked.looked_for})
            number += 1
    if not read:
        more = f" (nor does any other of its {len(failures)} sheets)" if len(failures) > 1 else ""
        raise next(
            (SourceError(f"{error}{more}") for error in failures.values()), SourceError(f"{asked.name} is empty")
        )
    if failures:
        told, untold = (", ".join(map(repr, sheets)) for sheets in (read, failures))
        asked.notes.add(f"of its sheets {told} is read; {untold} without our columns is not", asked.name)


def _row(number: int, received: dict[str, Any], found: dict[str, Any]) -> Row:
    raw = _canonical(received).encode("utf-8", "surrogatepass")
    if len(raw) > RECORD_BYTES:
        return Row(number, raw, InvalidRecord("the record is larger than 16 MiB"))
    return Row(number, raw, found)


def _text(value: object) -> object:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if type(value) is int else value


def _sheets(stream: BinaryIO, name: str) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    """Each sheet's name, and its rows that are not empty."""
    with _lines(stream, name) as lines:
        sheet = ""

        def named(line: object) -> str:
            nonlocal sheet
            sheet = line if isinstance(line, str) else sheet
            return sheet

        for sheet_name, of_sheet in groupby(lines, named):
            yield sheet_name, (row for row in of_sheet if isinstance(row, list) and any(cell != "" for cell in row))


@contextlib.contextmanager
def _lines(stream: BinaryIO, name: str) -> Iterator[Iterator[object]]:
    stream.seek(0)
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-P", workbook.__file__],  # -P: our files' names are not to stand for those of libraries
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        try:
            yield (json.loads(line, object_hook=_time) for line in child.stdout)
            ended = child.wait()
        finally:
            child.kill()
    if ended:
        raise SourceError(f"{name} is no sound workbook, or one too large to be held; save it again, or as CSV")


def _time(value: dict[str, str]) -> datetime:
    return datetime.fromisoformat(value["time"])


FORMAT = Format("Excel", (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), rows, text=False, seeks=True)
