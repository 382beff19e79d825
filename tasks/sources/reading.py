"""A source's file as a stream of records and refusals."""

from __future__ import annotations

import gzip
import io
import logging
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from zoneinfo import ZoneInfo

from tasks.sources.beneath import NotPlainError, open_beneath
from tasks.sources.formats import csv, jsonl, parquet
from tasks.sources.listing import SourceFile
from tasks.sources.record import COLUMNS, Fault, Record, Refusal, SourceError, parse, refuse

_BUFFER = 2**18
_log = logging.getLogger(__name__)


def read(file: SourceFile, *, mapping: Mapping[str, str], timezone: ZoneInfo) -> Iterator[Record | Refusal]:
    """Every record of ``file`` in its order, each either taken or refused; blank lines are none.

    ``mapping`` gives our columns the names they have in the source. ``timezone`` is that of times without a zone.
    Memory is bounded by the size of a record, not of the file (Parquet: by that of a page).
    Raises ValueError for a mapping of columns that do not exist, SourceError if the file is not what its name says; a
    fault further inside (a gzip cut short) raises after the records before it.
    """
    unknown = sorted(mapping.keys() - set(COLUMNS))
    if unknown:
        raise ValueError(f"the mapping names {', '.join(unknown)}; there are: {', '.join(COLUMNS)}")
    return _FORMATS[file.ending](file, mapping, timezone)


def _jsonl(file: SourceFile, mapping: Mapping[str, str], timezone: ZoneInfo) -> Iterator[Record | Refusal]:
    names = [(ours, mapping.get(ours, ours)) for ours in COLUMNS]
    unseen, records = set(mapping.values()), 0
    with _opened(file) as stream:
        for offset, line, digest in jsonl.lines(stream, file.name):
            try:
                if digest:
                    raise Fault("the record is larger than 16 MiB")
                found = jsonl.loads(line)
                if not isinstance(found, dict):
                    raise Fault("the record is not an object")
                unseen, records = unseen and unseen - found.keys(), records + 1
                values = {ours: found.get(theirs) for ours, theirs in names}
                yield parse(values, timezone=timezone, source_file=file.name, offset=offset, raw=line)
            except Fault as fault:
                yield refuse(file.name, offset, fault, line, digest)
    if records:
        for name in sorted(unseen):
            _warn_unseen(file.root, file.name, name)


_WARNED: set[tuple[Path, str]] = set()


def _warn_unseen(root: Path, file: str, name: str) -> None:
    """Once for a source, of however many files. No error: writers of JSON leave out what is null."""
    if (root, name) not in _WARNED:
        _WARNED.add((root, name))
        _log.warning("%s: no record has %r, which the mapping names; is it spelt so?", file, name)


def _csv(file: SourceFile, mapping: Mapping[str, str], timezone: ZoneInfo) -> Iterator[Record | Refusal]:
    with _opened(file) as stream:
        header, chosen, delimiter = csv.header(stream, file.name, lambda names: _choose(names, mapping, file.name))
        at = {ours: header.index(theirs) for ours, theirs in chosen.items()}
        for number, (raw, digest, cells) in enumerate(csv.rows(stream, delimiter)):
            try:
                if isinstance(cells, Fault):
                    raise cells
                if len(cells) != len(header):
                    raise Fault("the row has more or fewer cells than the header")
                values = _typed({ours: cells[i] for ours, i in at.items()})
                yield parse(values, timezone=timezone, source_file=file.name, offset=number, raw=raw)
            except Fault as fault:
                yield refuse(file.name, number, fault, raw, digest)


def _parquet(file: SourceFile, mapping: Mapping[str, str], timezone: ZoneInfo) -> Iterator[Record | Refusal]:
    def choose(names: list[str]) -> dict[str, str]:
        return _choose(names, mapping, file.name)

    with _opened(file) as stream:
        for number, (raw, values) in enumerate(parquet.rows(stream, file.name, choose)):
            try:
                yield parse(values, timezone=timezone, source_file=file.name, offset=number, raw=raw)
            except Fault as fault:
                yield refuse(file.name, number, fault, raw)


_FORMATS = {".jsonl": _jsonl, ".jsonl.gz": _jsonl, ".csv": _csv, ".parquet": _parquet}


@contextmanager
def _opened(file: SourceFile) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked, buffered and seekable."""
    try:
        raw = open_beneath(file.root, file.name.split("/"))
    except NotPlainError:
        raise SourceError(f"{file.name} is a link or no regular file; put the file itself there") from None
    except PermissionError:
        raise SourceError(f"{file.name} may not be read by this user; let it read there") from None
    except FileNotFoundError:
        raise SourceError(f"{file.name} was there when the source was listed, and is not any more") from None
    with raw:
        if file.ending != ".jsonl.gz":
            yield io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER)
            return
        if raw.read(2) != b"\x1f\x8b":
            raise SourceError(f"{file.name} is not gzip; JSONL that is not packed has a name that ends in .jsonl")
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(cast(io.RawIOBase, unpacked), _BUFFER)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise SourceError(f"{file.name} is broken gzip or cut short; pack or copy it again") from None


def _choose(names: list[str], mapping: Mapping[str, str], file: str) -> dict[str, str]:
    """Our columns that a file with columns ``names`` has, with their names there."""
    chosen = {ours: mapping.get(ours, ours) for ours in COLUMNS}
    needed = {"review_id", "created_at", *mapping}
    for ours, theirs in chosen.items():
        if names.count(theirs) > 1:
            raise SourceError(f"{file}: {names.count(theirs)} columns are named {theirs!r}; there must be one")
        if theirs not in names and ours in needed:
            # the names found are not told: where the header is missing they are somebody's review
            what = f"none of its {len(names)} columns is named {theirs!r}"
            raise SourceError(f"{file}: {what}; the header must name {ours}, or the mapping say what it is called")
    if chosen["text"] not in names and chosen["attachments"] not in names:
        raise SourceError(f"{file}: it has neither text nor attachments; the mapping can say what they are called")
    return {ours: theirs for ours, theirs in chosen.items() if theirs in names}


_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20}|,\d{1,2})?", re.ASCII)  # a spreadsheet set to Russian writes 4,5


def _typed(cells: dict[str, str]) -> dict[str, object]:
    """A CSV row's cells as JSON would have them: rating a number, attachments a list."""
    values: dict[str, object] = dict(cells)
    rating, attachments = cells.get("rating"), cells.get("attachments")
    if rating and _NUMBER.fullmatch(rating):
        values["rating"] = float(rating.replace(",", "."))
    if attachments:
        try:
            values["attachments"] = jsonl.loads(attachments.encode())
        except Fault:
            raise Fault("is not a list of {kind, uri}", "attachments") from None
    return values
