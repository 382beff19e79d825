"""A source's file as a stream of records and refusals."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import BinaryIO, cast
from zoneinfo import ZoneInfo

from otzyv.schemas.errors import InvalidInput
from otzyv.tasks.sources import encoding as encodings
from otzyv.tasks.sources.beneath import NotPlainError, open_beneath
from otzyv.tasks.sources.format import Asked, Format, Row
from otzyv.tasks.sources.formats import BY_ENDING
from otzyv.tasks.sources.listing import SourceFile
from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.packing import PACKED, Unpacked
from otzyv.tasks.sources.reasons import COLUMNS, InvalidRecord, SourceError
from otzyv.tasks.sources.record import Record, RejectedRecord, parse, refuse
from otzyv.tasks.sources.times import Dates
from otzyv.tasks.sources.values import present

_BUFFER = 2**18


def read(
    file: SourceFile,
    *,
    mapping: Mapping[str, str],
    timezone: ZoneInfo,
    encoding: str | None = None,
    dates: Dates = "iso",
    notes: Notes | None = None,
) -> Iterator[Record | RejectedRecord]:
    """Every record of ``file`` in its order, each either taken or refused; blank lines and empty rows are none.

    ``mapping`` gives our columns the names they have in the source. ``timezone`` is that of times without a zone,
    ``dates`` how those are written that could be meant in several ways, ``encoding`` that of text whose bytes do not
    tell. What a person should know of the file goes to ``notes``. What a record lacks and a folder's name gives
    (``source=stepik/``) is taken from there.
    Memory is bounded by the size of a record, not of the file (Parquet: by that of a page).
    Raises ValueError for a mapping of columns that do not exist, SourceError if the file is not what its name says; a
    fault further inside (a gzip cut short) raises after the records before it, unless ``check`` was asked first.
    """
    with _rows(file, mapping, encoding, notes or Notes()) as (rows, asked):
        yield from parsed(rows, file, asked, timezone=timezone, dates=dates)


def check(file: SourceFile, *, mapping: Mapping[str, str], encoding: str | None = None) -> None:
    """Go through ``file`` to its end, as far as that tells whether it is sound. Raises as ``read`` does.

    A packed file tells only there that it is damaged: until then it gives records, which may be wrong.
    """
    with _rows(file, mapping, encoding, Notes()) as (rows, _):
        deque(rows, maxlen=0)


@contextmanager
def _rows(
    file: SourceFile, mapping: Mapping[str, str], encoding: str | None, notes: Notes
) -> Iterator[tuple[Iterator[Row], Asked]]:
    unknown = sorted(mapping.keys() - set(COLUMNS))
    if unknown:
        raise InvalidInput(f"the mapping names {', '.join(unknown)}; there are: {', '.join(COLUMNS)}")
    asked = Asked(file.name, mapping, notes, given_of(file, mapping))
    form = BY_ENDING[file.ending]
    with _opened(file, form, encoding, notes) as (stream, first):
        yield form.rows(stream, replace(asked, first=first)), asked


def given_of(file: SourceFile, mapping: Mapping[str, str]) -> dict[str, str]:
    """What the names of a file's folders say, by our names."""
    by_folder = dict(file.given)
    return {ours: by_folder[mapping.get(ours, ours)] for ours in COLUMNS if mapping.get(ours, ours) in by_folder}


def parsed(
    rows: Iterable[Row], file: SourceFile, asked: Asked, *, timezone: ZoneInfo, dates: Dates
) -> Iterator[Record | RejectedRecord]:
    """The rows of a file, each as a record or a refusal."""
    for row in rows:
        try:
            if isinstance(row.values, InvalidRecord):
                raise row.values
            values = dict(row.values)
            values |= {ours: value for ours, value in asked.given.items() if present(values.get(ours)) is None}
            record = parse(
                values, timezone=timezone, dates=dates, source_file=file.name, offset=row.offset, raw=row.raw
            )
            if record.mended:
                asked.notes.add(f"texts that were {record.mended} and are corrected: {{n}}", file.name)
            if record.damaged:
                asked.notes.add("texts that a wrong encoding has damaged and are kept as they are: {n}", file.name)
            yield record
        except InvalidRecord as fault:
            context = {**(row.layout or {}), **({"given": dict(file.given)} if file.given else {})}
            context |= {"log": file.log} if file.log else {}
            yield refuse(file.name, row.offset, fault, row.raw, row.sha256, context)


@contextmanager
def _opened(file: SourceFile, form: Format, encoding: str | None, notes: Notes) -> Iterator[tuple[BinaryIO, int]]:
    """The file's bytes, unpacked and in UTF-8, buffered, from the first record on; the offset of that."""
    try:
        raw = open_beneath(file.root, file.name.split("/"))
    except NotPlainError:
        raise SourceError(f"{file.name} is a link or no regular file; put the file itself there") from None
    except PermissionError:
        raise SourceError(f"{file.name} may not be read by this user; let it read there") from None
    except FileNotFoundError:
        raise SourceError(f"{file.name} was there when the source was listed, and is not any more") from None
    with raw:
        if not form.text:
            yield _buffered(raw), 0
            return
        packed = PurePath(file.ending).suffix
        stream = cast(BinaryIO, Unpacked(raw, packed, file.name)) if packed in PACKED else raw
        text, first, changed = encodings.opened(stream, file.name, encoding, notes)
        if not form.seeks:
            yield _buffered(text), first
        elif stream is raw and not changed:
            raw.seek(first)
            yield _buffered(raw), first
        else:
            with tempfile.TemporaryFile() as whole:
                shutil.copyfileobj(text, whole, _BUFFER)
                whole.seek(0)
                yield cast(BinaryIO, whole), 0


def _buffered(raw: BinaryIO | io.RawIOBase) -> BinaryIO:
    return io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER)
