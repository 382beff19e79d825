"""Where in a refused record its fault stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from otzyv.tasks.sources.again import Kept
from otzyv.tasks.sources.formats import BY_ENDING
from otzyv.tasks.sources.listing import ending_of
from otzyv.tasks.sources.reasons import COLUMNS

Parts = tuple[str, str, str]
"""A record's text: before the fault, the fault itself, after it."""
_BLANK = re.compile(r"[ \t\r\n]*")
_COLON, _COMMA = re.compile(r"[ \t\r\n]*:[ \t\r\n]*"), re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


def parts(kept: Kept, reason: str, mapping: Mapping[str, str]) -> Parts:
    """The record as text, cut where the fault for that reason stands; all of it is before where no place can be told.

    Bytes that are no UTF-8 come as U+FFFD. What is missing or cut off stands, empty, where it would.
    """
    text = kept.raw.decode(errors="replace")
    found = _span(kept, text, reason, mapping)
    if found is None:
        return text, "", ""
    start, end = found
    return text[:start], text[start:end], text[end:]


def _span(kept: Kept, text: str, reason: str, mapping: Mapping[str, str]) -> tuple[int, int] | None:
    ending = ending_of(kept.file)
    context = json.loads(kept.context) if kept.context else {}
    in_cells = ending is not None and BY_ENDING[ending].numbered and BY_ENDING[ending].text
    column = reason.partition(" ")[0]
    if column in COLUMNS:
        name = mapping.get(column, column)
        return _cell(text, name, context) if in_cells else _value(text, name)
    if reason == "the bytes are not UTF-8":
        try:
            kept.raw.decode()
        except UnicodeDecodeError as error:
            start = len(kept.raw[: error.start].decode(errors="replace"))
            return start, start + 1
    if reason == "the record holds a NUL byte" and "\0" in text:
        return text.index("\0"), text.index("\0") + 1
    if reason == "the record is not JSON":
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            return error.pos, min(error.pos + 1, len(text))
        except (ValueError, RecursionError):
            return None
    if reason == "the row has more or fewer cells than the header" and "columns" in context:
        cells = list(_cells(text, context["delimiter"]))
        names = len(context["columns"])
        return (cells[names][0], len(text)) if len(cells) > names else (len(text), len(text))
    return None


def _value(text: str, name: str) -> tuple[int, int] | None:
    """Where the value of a key of the outermost object stands."""
    at = _past(_BLANK, text, text.find("{") + 1) if "{" in text else len(text)
    decode = json.JSONDecoder().raw_decode
    try:
        while text[at : at + 1] == '"':
            key, at = decode(text, at)
            start = _past(_COLON, text, at)
            _, end = decode(text, start)
            if key == name:
                return start, end
            at = _past(_COMMA, text, end)
    except (ValueError, RecursionError):
        return None
    return None


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where it ends that stands at a place. Raises ValueError where it does not stand there."""
    if found := pattern.match(text, at):
        return found.end()
    raise ValueError(f"no {pattern.pattern}")


def _cell(text: str, name: str, context: Mapping[str, Any]) -> tuple[int, int] | None:
    if name not in context.get("columns", ()):
        return None
    cells = list(_cells(text, context["delimiter"]))
    number = context["columns"].index(name)
    return cells[number] if number < len(cells) else None


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, int]]:
    """Where each cell of a row stands, quotes included."""
    quoted, ends = False, [-1]
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            ends.append(at)
    ends.append(len(text.rstrip("\r")))
    yield from ((start + 1, end) for start, end in pairwise(ends))
