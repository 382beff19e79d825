"""The kinds of alerts. ``docs/operating.md`` explains what each means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """``event``: its name for Prefect's automations and for webhooks. ``over``: what is said once it is over.

    ``lasts``: it goes on until it is seen to be over; else it is told when it happens, and that is all. ``repeats``: it
    is told again while it lasts, as it comes from no run that would tell it again.
    """

    name: str
    event: str
    do: str
    over: str = ""
    lasts: bool = True
    repeats: bool = True

    @property
    def anchor(self) -> str:
        """The link to its section of the operator's page."""
        return f"docs/operating.md#{self.name.replace(' ', '-')}"


FAILED = Kind(
    "failed", "otzyv.run.failed", "read what the run says, and start it again once the cause is gone",
    over="a later run ended well", repeats=False,
)  # fmt: skip
CRASHED = Kind(
    "crashed", "otzyv.run.crashed", "start it again: it makes what is left; see whether the machine ran out of memory",
    over="a later run ended well", repeats=False,
)  # fmt: skip
LATE = Kind(
    "late", "otzyv.run.late", "see what holds its place: a run that hangs can be cancelled on Prefect's pages",
    over="it has begun, or was called off",
)  # fmt: skip
HELD = Kind(
    "held", "otzyv.day.held", "look at the quality page; then otzyv releases approve DAY, or correct the source",
    over="readers see the day",
)  # fmt: skip
MISSING = Kind(
    "missing", "otzyv.day.missing", "see whether the source writes its files, and where",
    over="came after all",
)  # fmt: skip
LEFT_OUT = Kind(
    "left out", "otzyv.day.left_out", "if they are wanted, make them by otzyv backfill",
    over="made, or no longer there", repeats=False,
)  # fmt: skip
DEPLOYMENT_GONE = Kind(
    "deployment gone", "otzyv.deployment.gone", "to stop its runs, pause it; do not delete it",
    lasts=False,
)  # fmt: skip
DISK_LOW = Kind(
    "disk low", "otzyv.disk.low", "make room; otzyv maintain removes what the lake no longer needs",
    over="there is room again",
)  # fmt: skip
NO_SUCCESS = Kind(
    "no success", "otzyv.run.none_succeeded", "see the last runs on Prefect's pages, and whether they are switched on",
    over="a daily run ended well",
)  # fmt: skip
SERVER_GONE = Kind(
    "server gone", "otzyv.server.gone", "see the log of otzyv serve, and whether the disk is full; start it again",
    over="it answers again",
)  # fmt: skip
TEST = Kind("test", "otzyv.alerts.test", "nothing: somebody tries whether alerts arrive", lasts=False)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (FAILED, CRASHED, LATE, HELD, MISSING, LEFT_OUT, DEPLOYMENT_GONE, DISK_LOW, NO_SUCCESS, SERVER_GONE)
}
