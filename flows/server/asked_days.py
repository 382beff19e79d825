"""Days that no run can be made of are refused before a process is started to find that out.

A form's schema tells neither that a day is in no calendar nor that two fields don't go together, and Prefect checks no
more than the schema. What comes to a run another way, ``flows/checked.py`` refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import TypeAdapter, ValidationError

NAMES = {"day": "Day", "from_day": "From", "to_day": "To"}
"""Parameters that are a day, and what forms call them."""
TOGETHER = "From and To go together; for one day give it twice"
ONE_OF_THEM = "give either From and To, or single days"
_DAY: TypeAdapter[date] = TypeAdapter(date)


def refused(body: bytes) -> str | None:
    """What is wrong with the days of runs that are to be made; None where nothing is, or where the server itself says.

    They are looked for among the parameters, and in each object that is one of them.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for each in asked if isinstance(asked, list) else [asked]:
        parameters = each.get("parameters") if isinstance(each, dict) else None
        for given in _objects(parameters):
            if why := _wrong(given):
                return why
        request = parameters.get("request") if isinstance(parameters, dict) else None
        if isinstance(request, dict) and (why := _wrong_request(request)):
            return why
    return None


def _wrong(given: Mapping[str, Any]) -> str | None:
    days: dict[str, date] = {}
    for key, name in NAMES.items():
        value = given.get(key)
        if value is None or isinstance(value, dict):  # an object: Prefect itself is to put something in its place
            continue
        if (found := _day(value)) is None:
            return f"{name} is no day: write it as 2026-03-01"
        days[key] = found
    if "from_day" in days and "to_day" in days and days["to_day"] < days["from_day"]:
        return f"From {days['from_day']} comes after To {days['to_day']}: exchange them"
    return None


def _wrong_request(request: Mapping[str, Any]) -> str | None:
    """``request``: for a backfill, which takes a whole range or single days."""
    first, last, single = request.get("from_day"), request.get("to_day"), request.get("days")
    if (first is None) != (last is None):
        return TOGETHER
    if isinstance(single, list):
        if single and first is not None:
            return ONE_OF_THEM
        for each in single:
            if not isinstance(each, dict) and _day(each) is None:
                return "one of the single days is no day: write each as 2026-03-01"
    return None


def _objects(parameters: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(parameters, dict):
        yield parameters
        yield from (value for value in parameters.values() if isinstance(value, dict))


def _day(value: Any) -> date | None:
    """The day as the run would read it."""
    try:
        return _DAY.validate_python(value)
    except ValidationError:
        return None
