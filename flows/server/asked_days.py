"""A range of days that is asked for the wrong way round is refused before a run is made of it.

A form's schema can't compare two of its fields, so that Prefect itself would start a process to find out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any


def refused(body: bytes) -> str | None:
    """What is wrong with the days of a run that is to be made; None where nothing is, or where the server itself says.

    ``from_day`` and ``to_day`` are looked for among the parameters, and in each object that is one of them.
    """
    try:
        parameters = json.loads(body).get("parameters")
    except (ValueError, RecursionError, AttributeError):
        return None
    for given in _objects(parameters):
        first, last = _day(given.get("from_day")), _day(given.get("to_day"))
        if first and last and last < first:
            return f"From {first} comes after To {last}: exchange them"
    return None


def _objects(parameters: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(parameters, dict):
        yield parameters
        yield from (value for value in parameters.values() if isinstance(value, dict))


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
