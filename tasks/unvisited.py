"""Arguments of tasks that Prefect is not to look through."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.utilities.annotations import quote

T = TypeVar("T")


def unvisited(value: T) -> T:
    """A large value for a task, as it is. Prefect otherwise looks in every object within it for futures and states:
    a tenth of a millisecond each, which is a second for a year's days."""
    return cast(T, quote(value))


def visited(value: T) -> T:
    """What ``unvisited`` was given, where a task's name is made of its arguments."""
    return cast(T, value.unwrap()) if isinstance(value, quote) else value
