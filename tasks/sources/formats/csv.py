"""CSV as RFC 4180 has it: quotes doubled inside quotes, line ends allowed inside quotes, a header.

Cells are separated by commas or, as spreadsheets and databases write them, by semicolons, tabs or bars; a first line
``sep=;`` says by what. Cells that are empty beyond the header's are none, and a row of empty cells is no record.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from otzyv.tasks.sources.format import Asked, Format, Row
from otzyv.tasks.sources.lines import PIECE, hold, unmarked
from otzyv.tasks.sources.reasons import RECORD_BYTES, InvalidRecord, SourceError

csv.field_size_limit(max(csv.field_size_limit(), RECORD_BYTES))  # rows are bounded here, before csv sees them

_BLANK = " \t\r\n"
_TOO_LARGE = "the record is larger than 16 MiB"
_QUOTES = "quotes are not closed or not doubled"
DELIMITERS = (",", ";", "\t", "|")
_ENDS_A_CELL = {
    delimiter: re.compile(rb'(?:[^"]|"")*+"(?:[%s\r\n]|\Z)' % re.escape(delimiter.encode())) for delimiter in DELIMITERS
}
_SEPARATOR = re.compile(rb'"?sep=([,;|\t])"?', re.IGNORECASE)


def rows(stream: BinaryIO, asked: Asked) -> Iterator[Row]:
    """Every row that is not blank, by its number from 0."""
    names, chosen, delimiter = _header(stream, asked)
    at = {ours: names.index(theirs) for ours, theirs in chosen.items()}
    layout = {"columns": names, "delimiter": delimiter}
    number = 0
    for raw, sha256, cells in _rows(stream, delimiter):
        if isinstance(cells, InvalidRecord):
            values: dict[str, object] | InvalidRecord = cells
        elif not any(cell.strip(_BLANK) for cell in cells):
            continue
        elif len(cells) < len(names) or any(cells[len(names) :]):
            values = InvalidRecord("the row has more or fewer cells than the header")
        else:
            values = {ours: cells[i] for ours, i in at.items()}
        yield Row(number, raw, values, sha256, layout)
        number += 1


def _header(stream: BinaryIO, asked: Asked) -> tuple[list[str], dict[str, str], str]:
    """The names of the columns, ours among them with their names, and the delimiter.

    The delimiter is the first under which our columns are found. If there is none, the error is that of the delimiter
    that gives the most columns. Leaves ``stream`` at the first row.
    """
    said = _said(stream)
    start = stream.tell()
    failures: list[tuple[int, SourceError]] = []
    for delimiter in (said,) if said else DELIMITERS:
        stream.seek(start)
        names: list[str] = []
        try:
            names = _names(stream, asked.name, delimiter)
            return names, asked.columns(names), delimiter
        except SourceError as error:
            failures.append((len(names), error))
    columns, failure = max(failures, key=lambda tried: tried[0])
    known = " (columns may be separated by commas, semicolons, tabs or bars)" if columns else ""
    raise SourceError(f"{failure}{known}")


def _said(stream: BinaryIO) -> str | None:
    """The delimiter that a first line ``sep=;`` names, as Excel writes it; it is then read."""
    start = stream.tell()
    if found := _SEPARATOR.fullmatch(unmarked(stream.readline(64)).rstrip(b"\r\n")):
        return found[1].decode()
    stream.seek(start)
    return None


def _names(stream: BinaryIO, name: str, delimiter: str) -> list[str]:
    start = stream.tell()
    while True:
        _, end, closed = _extent(stream, delimiter)
        if end == start:
            raise SourceError(f"{name} is empty; its first line must name the columns")
        stream.seek(start)
        raw, _ = hold(stream, end - start, PIECE)
        if not raw.strip():
            start = end
            continue
        names = _cells(raw, delimiter) if closed and end - start <= PIECE else InvalidRecord(_QUOTES)
        if isinstance(names, InvalidRecord):
            raise SourceError(f"{name}: the first line must name the columns, but {names.reason}")
        names = [name.strip() for name in names]
        while names and not names[-1]:  # a separator at the line's end
            names.pop()
        return names


def _rows(stream: BinaryIO, delimiter: str) -> Iterator[tuple[bytes, str | None, list[str] | InvalidRecord]]:
    """Every row from where ``stream`` stands that is not blank: its bytes without the line feed (of one that is too
    large the first, and the sha256 of them all), and its cells, or why they can't be read.

    A quote that is never closed, or is "closed" by one that opens a cell of a later row, would take the rows between
    with it. So where quoting is broken only the first line is refused, and reading goes on at the second.
    """
    start, mark = stream.tell(), delimiter.encode()
    while True:
        line_end, end, closed = _extent(stream, delimiter)
        if end == start:
            return
        stream.seek(start)
        raw, sha256 = hold(stream, end - start, RECORD_BYTES)
        found = (
            InvalidRecord(_QUOTES) if not closed else InvalidRecord(_TOO_LARGE) if sha256 else _cells(raw, delimiter)
        )
        if isinstance(found, InvalidRecord) and found.rule == "row_format" and line_end < end:
            end = line_end
            stream.seek(start)
            raw, sha256 = hold(stream, end - start, RECORD_BYTES)
        if raw.strip() or mark in raw:  # a row of tabs alone has cells
            yield raw, sha256, found
        start = end


def _extent(stream: BinaryIO, delimiter: str) -> tuple[int, int, bool]:
    """Where the line at ``stream`` ends, where the row does, and whether its quotes are closed as a cell's are.

    A line feed ends a row where the quotes before it are even in number: RFC 4180 doubles a quote inside quotes.
    """
    end = line_end = stream.tell()
    quoted, closed, first = False, True, True
    while piece := stream.readline(PIECE):
        end += len(piece)
        if piece.count(b'"') % 2:
            quoted = not quoted
            closed = not quoted and (first or _ENDS_A_CELL[delimiter].match(piece) is not None)
        if first:
            line_end = end
        if piece.endswith(b"\n"):
            if not quoted:
                break
            first = False
    return line_end, end, closed


def _cells(raw: bytes, delimiter: str) -> list[str] | InvalidRecord:
    try:
        text = unmarked(raw.removesuffix(b"\r")).decode()
    except UnicodeDecodeError:
        return InvalidRecord("the bytes are not UTF-8")
    # Writers that end lines with \n leave a lone \r unquoted; the reader would take it for the end of the row.
    stand_in = next((mark for mark in map(chr, range(0xE000, 0xF900)) if mark not in text), "\r")
    try:
        (row,) = csv.reader([text.replace("\r", stand_in)], delimiter=delimiter, strict=True)
    except csv.Error:
        return InvalidRecord(_QUOTES)
    return [cell.replace(stand_in, "\r") for cell in row]


FORMAT = Format("CSV", (".csv", ".tsv"), rows, seeks=True)
