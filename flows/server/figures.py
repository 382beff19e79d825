"""What each ``otzyv serve`` last saw of its lake, in Prefect's home folder, where the server's process finds it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER = "otzyv-serving"
STALE = 600.0
"""Seconds after which what was seen is no longer told: that ``serve`` has ended."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one lake. ``looked``: when, in seconds since 1970.

    ``days``: how many there are by what readers see, and how many wait to be made or failed; ``daily``: the counts of
    the last daily run, as ``records accepted`` and ``days made``; ``disks``: free bytes; ``open``: by kind, how many
    things are wrong; ``told``: by kind, how often what was told; ``waiting``: messages that receivers have not taken.
    """

    lake: str
    looked: float
    days: Mapping[str, int] = field(default_factory=dict)
    daily: Mapping[str, float] = field(default_factory=dict)
    disks: Mapping[str, int] = field(default_factory=dict)
    open: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    waiting: int = 0


def write(home: Path, mark: str, figures: Figures) -> None:
    """``mark``: tells the lake from others. Raises OSError."""
    path = home / FOLDER / f"{mark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{mark}.{os.getpid()}.part")
    part.write_text(json.dumps(asdict(figures)))
    part.replace(path)


def read(home: Path) -> list[Figures]:
    """Of all lakes that are served here now, by their address. What can't be read is passed over."""
    found = {}
    for path in (home / FOLDER).glob("*.json"):
        with suppress(OSError, ValueError, TypeError):
            figures = Figures(**json.loads(path.read_text()))
            if time.time() - figures.looked < STALE:
                found[figures.lake] = figures
    return [found[lake] for lake in sorted(found)]
