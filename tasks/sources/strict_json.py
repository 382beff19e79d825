"""JSON as strictly as RFC 8259 allows, but for NaN and Infinity, which numbers that are missing are written as."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

from otzyv.tasks.sources.reasons import InvalidRecord

MAX_DEPTH = 32
"""A record needs three levels. The interpreter's own limit depends on who calls, and must not decide about a record."""


def loads(line: bytes) -> object:
    """The JSON value in ``line``; raises Fault, also for what json.loads takes although it is no or doubtful JSON."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise InvalidRecord("the bytes are not UTF-8") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise InvalidRecord("nested too deep")
    try:
        return _decode(text)
    except json.JSONDecodeError:
        raise InvalidRecord("the record holds a NUL byte" if "\0" in text else "the record is not JSON") from None
    except ValueError:
        raise InvalidRecord("a number has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRecord("an object names a key twice")
    return found


_decode = json.JSONDecoder(object_pairs_hook=_object).decode

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive, its end optional: never scans a text twice
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def _depth(text: str) -> int:
    return max(accumulate(_STEP.get(character, 0) for character in _STRING.sub("", text)), default=0)
