"""Names of what ``otzyv serve`` deploys for a lake: a Prefect may serve several, and nothing is shared among them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from otzyv.flows.run_names import short
from otzyv.flows.server.pools import POOL
from otzyv.tasks.lake.delta.storage import address


@dataclass(frozen=True, slots=True)
class Names:
    """``mark``: tells the lake from others.

    ``days``, ``parents``: work pools, of runs that make days, as many at a time as there are slots, and of those that
    must not take a slot: they only wait for others, or learn for hours.
    """

    mark: str

    @property
    def digest(self) -> str:
        return self.mark.rpartition("-")[2]

    @property
    def days(self) -> str:
        return f"{POOL}{self.mark}"

    @property
    def parents(self) -> str:
        return f"{POOL}{self.mark}-parents"

    @property
    def pools(self) -> tuple[str, str]:
        return self.days, self.parents

    def deployment(self, name: str) -> str:
        return f"{name} {self.mark}"


def names(lake: str) -> Names:
    """Of a lake, however its address was written. Raises StorageError."""
    return Names(f"{short(lake)}-{hashlib.sha256(address(lake).encode()).hexdigest()[:6]}")
