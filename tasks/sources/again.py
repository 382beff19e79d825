"""Reading a refused record again, by its kept bytes alone: after the mapping, the settings or a rule was changed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from otzyv.schemas.errors import InputError
from otzyv.tasks.sources.format import Asked, Format
from otzyv.tasks.sources.formats import BY_ENDING
from otzyv.tasks.sources.listing import SourceFile, ending_of
from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.reading import given_of, parsed
from otzyv.tasks.sources.reasons import COLUMNS, SourceError
from otzyv.tasks.sources.record import Record, RejectedRecord
from otzyv.tasks.sources.times import Dates

JSON = BY_ENDING[".jsonl"]


class NotReplayable(InputError):
    """A refused record can't be read again by what was kept of it; says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A refused record as quarantine keeps it. ``file``: its name there; ``context``: see ``RejectedRecord``."""

    file: str
    offset: int
    raw: bytes
    raw_sha256: str
    context: str | None


def again(
    kept: Kept, *, mapping: Mapping[str, str], timezone: ZoneInfo, encoding: str | None = None, dates: Dates = "iso"
) -> list[Record | RejectedRecord]:
    """What the record is read as now: mostly one record or refusal; of a line that is taken for an array, its elements.

    The options are those of ``read``. Raises NotReplayable, and SourceError as ``read`` does.
    """
    ending = ending_of(kept.file)
    if ending is None:
        raise NotReplayable("its file has an ending that can't be read")
    if hashlib.sha256(kept.raw).hexdigest() != kept.raw_sha256:
        raise NotReplayable("it is larger than the 1 MB of it that is kept; bring its source in again")
    context: dict[str, Any] = json.loads(kept.context) if kept.context else {}
    form, data = _alone(BY_ENDING[ending], kept, context, mapping, encoding)
    file = SourceFile(Path(), kept.file, ending, tuple(context.get("given", {}).items()))
    asked = Asked(kept.file, mapping, Notes(), given_of(file, mapping))
    rows = (row._replace(offset=kept.offset, layout=context) for row in form.rows(io.BytesIO(data), asked))
    found = list(parsed(rows, file, asked, timezone=timezone, dates=dates))
    if not found:
        raise SourceError(f"{kept.file}: its bytes hold no record")
    return found


def _alone(
    form: Format, kept: Kept, context: Mapping[str, Any], mapping: Mapping[str, str], encoding: str | None
) -> tuple[Format, bytes]:
    """A file in UTF-8 that holds the record alone, and the format to read it by."""
    raw = _utf8(kept.raw, encoding)
    if not form.numbered:
        return form, raw
    if "columns" not in context:
        raise NotReplayable("it was kept before the names of its columns were; bring its source in again")
    if form.text:
        head = io.StringIO()
        csv.writer(head, delimiter=context["delimiter"], lineterminator="\n").writerow(context["columns"])
        return form, f"sep={context['delimiter']}\n{head.getvalue()}".encode() + raw
    if missing := {mapping.get(ours, ours) for ours in COLUMNS} - {*context["columns"]}:
        raise NotReplayable(f"its file was not read for {', '.join(sorted(missing))}; bring its source in again")
    return JSON, raw  # of a row that is no text, JSON is kept


def _utf8(raw: bytes, encoding: str | None) -> bytes:
    """Kept bytes as UTF-8. Those that are not stay as they are, so that they are refused again, where no encoding tells
    what they are, and where they were read in another one already: FF then stands for what that one does not have.
    """
    rest = raw.replace(b"\xff", b"")
    if encoding is None or _decoded(raw, "utf-8") is not None:
        return raw
    if not rest.isascii() and _decoded(rest, "utf-8") is not None:
        return raw
    text = _decoded(raw, encoding)
    return raw if text is None else text.encode()


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeError:
        return None
