"""What may run only once in a process, whichever of its threads comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

T = TypeVar("T")

LOADING = threading.RLock()
"""Held while a model is loaded: libraries that are first imported by two threads at once see each other half made."""


def once(function: Callable[[], T]) -> Callable[[], T]:
    """The function's first result for every caller. ``functools.cache`` lets threads that come together all run it."""
    made: list[T] = []

    @wraps(function)
    def first() -> T:
        with LOADING:
            if not made:
                made.append(function())
        return made[0]

    return first
