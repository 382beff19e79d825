"""Names that tell the runs of a flow apart on Prefect's pages: the lake, the days, what is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from prefect import runtime
from pydantic import BaseModel

from otzyv.schemas.errors import OtzyvError
from otzyv.tasks.lake.delta.storage import address


def named(flow: str, *parameters: str, also: Callable[[Mapping[str, Any]], str] = lambda _: "") -> Callable[[], str]:
    """A run's name: the flow, the lake, what these parameters say, the range of days, and what ``also`` makes of all.

    A run that can't be named, as its parameters are wrong, has the flow's name.
    """

    def name() -> str:
        given = runtime.flow_run.parameters
        try:
            parts = [flow, short(str(given["lake"])), *(str(given.get(each) or "") for each in parameters)]
            return " ".join(filter(None, [*parts, day_range(given), also(given)]))
        except (OtzyvError, KeyError, TypeError):
            return flow

    return name


def short(lake: str) -> str:
    """A lake's own name, for people: the last part of its address. Raises StorageError."""
    return re.sub(r"[^\w.-]+", "-", address(lake).rpartition("/")[2])[:32] or "lake"


def day_range(given: Mapping[str, Any]) -> str:
    """``from_day`` and ``to_day`` in words, of parameters or of a request that may not have been read yet."""
    first, last = given.get("from_day"), given.get("to_day")
    if first and last:
        return f"{first} to {last}" if str(first) != str(last) else str(first)
    return f"from {first}" if first else f"to {last}" if last else ""


def asked(given: Mapping[str, Any]) -> str:
    """What a backfill is asked for."""
    request = given.get("request") or {}
    told = request.model_dump() if isinstance(request, BaseModel) else dict(request)
    days = sorted(map(str, told.get("days") or ()))
    chosen = f"{', '.join(days[:3])}{f' and {len(days) - 3} more days' if len(days) > 3 else ''}"
    what = [day_range(told) or chosen or "all days", str(told.get("what") or "stale")]
    return ", ".join([*what, *(["dry run"] if told.get("dry_run") else [])])


def ordered(given: Mapping[str, Any]) -> str:
    """The days that a child of a backfill is to make."""
    orders = [each.model_dump() if isinstance(each, BaseModel) else each for each in given.get("orders") or ()]
    days = sorted(str(order["day"]) for order in orders)
    if not days:
        return ""
    again = ", again" if given.get("again") else ""
    return (days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)") + again


def scheduled(given: Mapping[str, Any]) -> str:
    """The day of a daily run; without one, when it was to start."""
    return str(given.get("day") or f"{runtime.flow_run.scheduled_start_time:%Y-%m-%d %H:%M}")
