"""A file of a lake, on disk or on S3, as a listing tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """``path`` is relative to the lake's root, ``size`` in bytes, ``changed_ns`` in nanoseconds since 1970."""

    path: str
    size: int
    changed_ns: int

    @property
    def changed_at(self) -> float:
        """Seconds since 1970."""
        return self.changed_ns / 1e9
