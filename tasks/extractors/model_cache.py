"""Models stay loaded from one day of a run to the next, so that a backfill loads each of them once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.models.store import weight_paths
from otzyv.tasks.models.weights import Weights

ROOM = 1 << 29
"""Bytes of weights, as their files have them, that wait for the next day: loaded they take about twice as many.

Models that find no room are loaded again.
"""


class ModelCache:
    """Models that wait for their next day. Threads may share it: a model that one has taken, no other has."""

    def __init__(self, room: int = ROOM) -> None:
        self._lock = threading.Lock()
        self._room = room
        self._waiting: dict[str, list[tuple[int, Run]]] = {}

    def take(self, card: Card, weights: Weights | None) -> Run | None:
        with self._lock:
            current_cache = self._waiting.get(card.fingerprint(weights))
            if not current_cache:
                return None
            size, run = current_cache.pop()
            self._room += size
            return run

    def give(self, card: Card, weights: Weights | None, run: Run) -> None:
        """Let a model wait; what waits already goes before it, since days ask for their models in one order."""
        size = _size(card, weights)
        with self._lock:
            if size <= self._room:
                self._room -= size
                self._waiting.setdefault(card.fingerprint(weights), []).append((size, run))

    def clear(self) -> None:
        """Let go of all that wait: memory is short."""
        with self._lock:
            self._room += sum(size for models in self._waiting.values() for size, _ in models)
            self._waiting.clear()


_LOADED: ContextVar[ModelCache | None] = ContextVar("loaded", default=None)


@contextmanager
def keep_models() -> Iterator[ModelCache]:
    """Models loaded inside wait for those who load them again inside. Within such a block it is that one's."""
    opened = _LOADED.get() or ModelCache()
    token = _LOADED.set(opened)
    try:
        yield opened
    finally:
        _LOADED.reset(token)


def current_cache() -> ModelCache | None:
    """Where models wait; None where nobody keeps any."""
    return _LOADED.get()


def _size(card: Card, weights: Weights | None) -> int:
    paths = weight_paths(card.name, weights).values() if weights is not None else ()
    return sum(path.stat().st_size for path in paths if path.is_file())
