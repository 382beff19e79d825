"""CSV as RFC 4180 has it: commas, quotes doubled inside quotes, line ends allowed inside quotes, UTF-8, a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from tasks.sources.lines import PIECE, begin, hold
from tasks.sources.record import RECORD_BYTES, Fault, SourceError

csv.field_size_limit(max(csv.field_size_limit(), RECORD_BYTES))  # rows are bounded here, before csv sees them

Row = tuple[bytes, str | None, "list[str] | Fault"]
"""Bytes of a row without its line feed (of one that is too large the first bytes, and the sha256 of them all), and its
cells, or why they can't be read."""

_TOO_LARGE = "the record is larger than 16 MiB"
_QUOTES = "quotes are not closed or not doubled"
_ENDS_A_CELL = re.compile(rb'(?:[^"]|"")*+"(?:[,\r\n]|\Z)')


def header(stream: BinaryIO, name: str) -> list[str]:
    """The names of the columns; leaves ``stream`` (buffered, seekable) at the first row. Raises SourceError."""
    start = begin(stream, name)
    while True:
        _, end, closed = _extent(stream)
        if end == start:
            raise SourceError(f"{name} is empty; its first line must name the columns")
        stream.seek(start)
        raw, _ = hold(stream, end - start, PIECE)
        if not raw.strip():
            start = end
            continue
        names = _cells(raw) if closed and end - start <= PIECE else Fault(_QUOTES)
        if isinstance(names, Fault):
            raise SourceError(f"{name}: the first line must name the columns, but {names.reason}")
        return names


def rows(stream: BinaryIO) -> Iterator[Row]:
    """Every row from where ``stream`` (buffered, seekable) stands that is not blank.

    A quote that is never closed, or is "closed" by one that opens a cell of a later row, would take the rows between
    with it. So where quoting is broken only the first line is refused, and reading goes on at the second.
    """
    start = stream.tell()
    while True:
        line_end, end, closed = _extent(stream)
        if end == start:
            return
        stream.seek(start)
        raw, sha256 = hold(stream, end - start, RECORD_BYTES)
        found = Fault(_QUOTES) if not closed else Fault(_TOO_LARGE) if sha256 else _cells(raw)
        if isinstance(found, Fault) and found.rule == "row_format" and line_end < end:
            end = line_end
            stream.seek(start)
            raw, sha256 = hold(stream, end - start, RECORD_BYTES)
        if raw.strip():
            yield raw, sha256, found
        start = end


def _extent(stream: BinaryIO) -> tuple[int, int, bool]:
    """Where the line at ``stream`` ends, where the row does, and whether its quotes are closed as a cell's are.

    A line feed ends a row where the quotes before it are even in number: RFC 4180 doubles a quote inside quotes.
    """
    end = line_end = stream.tell()
    quoted, closed, first = False, True, True
    while piece := stream.readline(PIECE):
        end += len(piece)
        if piece.count(b'"') % 2:
            quoted = not quoted
            closed = not quoted and (first or _ENDS_A_CELL.match(piece) is not None)
        if first:
            line_end = end
        if piece.endswith(b"\n"):
            if not quoted:
                break
            first = False
    return line_end, end, closed


def _cells(raw: bytes) -> list[str] | Fault:
    try:
        text = raw.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        return Fault("the bytes are not UTF-8")
    # Writers that end lines with \n leave a lone \r unquoted; the reader would take it for the end of the row.
    stand_in = next((mark for mark in map(chr, range(0xE000, 0xF900)) if mark not in text), "\r")
    try:
        (row,) = csv.reader([text.replace("\r", stand_in)], strict=True)
    except csv.Error:
        return Fault(_QUOTES)
    return [cell.replace(stand_in, "\r") for cell in row]
