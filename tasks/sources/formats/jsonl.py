"""JSON in UTF-8: one object a line, objects that take several lines, or an array of objects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO

from otzyv.tasks.sources.format import Asked, Format, Row
from otzyv.tasks.sources.lines import PIECE, Found, lines, unmarked
from otzyv.tasks.sources.reasons import COLUMNS, RAW_BYTES, RECORD_BYTES, InvalidRecord, SourceError
from otzyv.tasks.sources.strict_json import loads

_TOO_LARGE = "the record is larger than 16 MiB"
_BLANK = b" \t\r\n"
_HEAD = 2**16


def rows(stream: BinaryIO, asked: Asked) -> Iterator[Row]:
    """Every record, by the offset of its first byte; blank lines are none.

    Raises SourceError for an array or an object that is never closed, and for a file that is one object which holds the
    records.
    """
    names = [(ours, asked.mapping.get(ours, ours)) for ours in COLUMNS]
    unseen, records = set(asked.mapping.values()) - {asked.mapping.get(ours) for ours in asked.given}, 0
    only: Row | None = None  # the first record, while it may be an object around the records
    for offset, raw, sha256 in _records(stream, asked):
        if only:
            yield only
            only = None
        try:
            found = loads(unmarked(raw)) if sha256 is None else InvalidRecord(_TOO_LARGE)
        except InvalidRecord as fault:
            found = fault
        if isinstance(found, dict):
            unseen, records = unseen and unseen - found.keys(), records + 1
            row = Row(offset, raw, {ours: found.get(theirs) for ours, theirs in names})
            if records == 1 and _holds_records(found, asked):
                only = row
                continue
        else:
            row = Row(
                offset,
                raw,
                found if isinstance(found, InvalidRecord) else InvalidRecord("the record is not an object"),
                sha256,
            )
        yield row
    if only and records == 1:
        raise SourceError(
            f"{asked.name} is one object that holds the records; write them as an array or one a line (pandas: "
            'to_json(orient="records", lines=True); jq: .name[])'
        )
    if records:
        for name in sorted(unseen):
            asked.notes.add(f"no record has {name!r}, which the mapping names; check the spelling", asked.name)


def _holds_records(found: dict[str, object], asked: Asked) -> bool:
    """Whether an object is not a record but what stands around records, as APIs and pandas write them."""
    name, files = (asked.mapping.get(ours, ours) for ours in ("review_id", "attachments"))
    if name in found:
        return isinstance(found[name], dict | list)
    return any(
        isinstance(value, list | dict) and value and (name in value or isinstance(_first(value), dict | list))
        for key, value in found.items()
        if key != files
    )


def _first(value: list[object] | dict[str, object]) -> object:
    return next(iter(value if isinstance(value, list) else value.values()))


def _records(stream: BinaryIO, asked: Asked) -> Iterator[Found]:
    """An array at the start stands for its elements; after it, and without it, a record is a line."""
    head = stream.read(_HEAD)
    text = unmarked(head).lstrip(_BLANK)
    skipped = len(head) - len(text)
    offset = asked.first
    if _ARRAY.match(text):
        scan = _Scan(stream, asked.name, text[1:], offset + skipped + 1)
        yield from scan.values(closed=True)
        head, offset = scan.rest()
    elif _SPREAD.match(text) or _begins_wide(text):
        scan = _Scan(stream, asked.name, text, offset + skipped)
        yield from scan.values(closed=False)
        head, offset = scan.rest()
    yield from lines(_Before(head, stream), offset)


_ARRAY = re.compile(rb"\[[ \t\r\n]*(?:\{|\][ \t\r\n]*\Z)")
_SPREAD = re.compile(rb"\{[ \t]*\r?\n")


def _begins_wide(text: bytes) -> bool:
    """Whether an object begins in the first line and goes on in the second."""
    first, _, second = text.partition(b"\n")
    return first.startswith(b"{") and _Depth().after(first) > 0 and second.lstrip(b" \t\r")[:1] in (b'"', b"}")


def _past(pattern: re.Pattern[bytes], text: bytes | bytearray, at: int) -> int:
    """Where it ends that stands at a place, if anything does."""
    found = pattern.match(text, at)
    return found.end() if found else at


class _Depth:
    """Counts brackets outside strings, however the text is cut into pieces."""

    _TOKEN = re.compile(rb'"|[\[\]{}]')
    _STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)

    def __init__(self) -> None:
        self.open, self.quoted = 0, False

    def after(self, text: bytes) -> int:
        self.end(text, 0)
        return self.open

    def end(self, text: bytes, at: int) -> tuple[int, bool]:
        """How far ``text`` was read from ``at``, and whether a value ended there: a bracket that closes the first."""
        while at < len(text):
            if self.quoted:
                at = _past(self._STRING, text, at)
                if at == len(text) or text[at : at + 1] == b"\\":  # the string goes on in the next piece
                    return at, False
                at, self.quoted = at + 1, False
            elif (found := self._TOKEN.search(text, at)) is None:
                return len(text), False
            else:
                at = found.end()
                self.quoted = found[0] == b'"'
                self.open += (found[0] in b"[{") - (found[0] in b"]}")
                if self.open <= 0 and not self.quoted and found[0] in b"]}":
                    return at, True
        return at, False


class _Scan:
    """Values that follow each other, with white space and commas between, read in pieces and held one at a time."""

    _BETWEEN = re.compile(rb"(?:[ \t\r\n,]|\xef\xbb\xbf)*+")
    _SCALAR = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"|[^][{}",\s])++', re.DOTALL)

    def __init__(self, stream: BinaryIO, name: str, window: bytes, offset: int) -> None:
        self._stream, self._name = stream, name
        self._window, self._at, self._offset = window, 0, offset  # _offset: of the window's first byte

    def rest(self) -> tuple[bytes, int]:
        return self._window[self._at :], self._offset + self._at

    def values(self, *, closed: bool) -> Iterator[Found]:
        """``closed``: until the array's own bracket, which is read; else to the end."""
        while self._between():
            first = self._window[self._at : self._at + 1]
            if closed and first == b"]":
                self._at += 1
                return
            yield self._bracketed() if first in (b"{", b"[") else self._scalar()
        if closed:
            raise self._cut()

    def _between(self) -> bool:
        while True:
            self._at = _past(self._BETWEEN, self._window, self._at)
            left = len(self._window) - self._at
            if left >= 3 or not self._more():  # three: a mark may be cut
                return left > 0

    def _bracketed(self) -> Found:
        start, depth, size, sha = self._offset + self._at, _Depth(), 0, None
        kept = b""
        while True:
            end, ended = depth.end(self._window, self._at + size)
            size = end - self._at
            if ended:
                break
            if size > RECORD_BYTES or sha:
                sha = sha or hashlib.sha256()
                sha.update(self._window[self._at : end])
                kept = kept or self._window[self._at : self._at + RAW_BYTES]
                self._at, size = end, 0
            if not self._more():
                raise self._cut()
        if sha:
            sha.update(self._window[self._at : end])
            self._at = end
            return start, kept, sha.hexdigest()
        return self._taken(size)

    def _scalar(self) -> Found:
        while True:
            found = self._SCALAR.match(self._window, self._at)
            # else a bracket that closes nothing, or a quote that does not end
            size = found.end() - self._at if found else 1
            left = len(self._window) - self._at
            whole = size < left and (found or self._window[self._at : self._at + 1] != b'"')
            if whole or left > RECORD_BYTES or not self._more():
                return self._taken(size)

    def _taken(self, size: int) -> Found:
        start, raw = self._offset + self._at, self._window[self._at : self._at + size]
        self._at += size
        return (start, raw, None) if size <= RECORD_BYTES else (start, raw[:RAW_BYTES], hashlib.sha256(raw).hexdigest())

    def _more(self) -> bool:
        piece = self._stream.read(PIECE)
        self._window, self._offset, self._at = self._window[self._at :] + piece, self._offset + self._at, 0
        return bool(piece)

    def _cut(self) -> SourceError:
        return SourceError(f"{self._name} is cut short or broken: its JSON is not closed; copy or write it again")


class _Before:
    """Lines of ``head``, and then of the stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._at, self._stream = head, 0, stream

    def readline(self, size: int) -> bytes:
        if self._at < len(self._head):
            end = self._head.find(b"\n", self._at, self._at + size) + 1
            line = self._head[self._at : end or self._at + size]
            self._at += len(line)
            if end or len(line) == size:
                return line
            return line + self._stream.readline(size - len(line))
        return self._stream.readline(size)


FORMAT = Format("JSON", (".jsonl", ".ndjson", ".json"), rows, numbered=False)
