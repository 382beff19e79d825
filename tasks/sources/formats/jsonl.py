"""JSONL: one JSON object a line, in UTF-8, read as strictly as RFC 8259 allows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, BinaryIO

from tasks.sources.lines import PIECE, begin
from tasks.sources.record import RAW_BYTES, RECORD_BYTES, Fault

MAX_DEPTH = 32
"""A record needs three levels. The interpreter's own limit depends on who calls, and must not decide about a record."""

Line = tuple[int, bytes, str | None]
"""Offset and bytes of a line without its end; of one that is too long the first bytes, and the sha256 of them all."""


def lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """Every line that is not blank. Only a line feed ends a line: U+2028 and the like are part of a record.

    ``stream`` must be buffered and seekable to its start; raises SourceError if it begins as something else than text.
    """
    offset = begin(stream, name)
    while line := stream.readline(RECORD_BYTES + 1):
        start, offset, digest = offset, offset + len(line), None
        if len(line) > RECORD_BYTES and not line.endswith(b"\n"):
            sha = hashlib.sha256(line)
            line = line[:RAW_BYTES]
            while piece := stream.readline(PIECE):
                offset += len(piece)
                sha.update(piece.removesuffix(b"\n"))
                if piece.endswith(b"\n"):
                    break
            digest = sha.hexdigest()
        line = line.removesuffix(b"\n")
        if digest or line.strip(b" \t\r"):
            yield start, line, digest


def loads(line: bytes) -> object:
    """The JSON value in ``line``; raises Fault, also for what json.loads takes although it is no or doubtful JSON."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Fault("the bytes are not UTF-8") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Fault("nested too deep")
    try:
        return _decode(text)
    except json.JSONDecodeError:
        raise Fault("the record holds a NUL byte" if "\0" in text else "the record is not JSON") from None
    except ValueError:
        raise Fault("a number has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Fault("an object names a key twice")
    return found


def _constant(name: str) -> float:
    raise Fault("NaN and Infinity are no JSON")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive, its end optional: never scans a text twice
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def _depth(text: str) -> int:
    return max(accumulate(_STEP.get(character, 0) for character in _STRING.sub("", text)), default=0)
