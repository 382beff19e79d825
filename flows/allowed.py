"""Which lakes a run through Prefect's API may name."""

from __future__ import annotations

import os

from otzyv.flows.refused import Refused
from otzyv.flows.run_log import sentences_only
from otzyv.flows.settings import load
from otzyv.tasks.lake.delta.storage import address

RUN = "PREFECT__FLOW_RUN_ID"
"""Prefect's workers set it for the process of a run, whoever asked for the run; a command's flows run without it."""

sentences_only()


class NotAllowed(Refused):
    """A run names a lake that none through the API may."""


def check_lake(lake: str) -> None:
    """Before anything of the lake is read. A command may name any lake: it is its user's own. Raises NotAllowed."""
    if RUN not in os.environ:
        return
    settings = load()
    allowed = [address(each) for each in filter(None, (settings.lake, *settings.allowed_lakes))]
    if address(lake) not in allowed:
        there = f"those allowed are: {', '.join(allowed)}" if allowed else "none is allowed"
        raise NotAllowed(f"runs through Prefect's API may not name the lake {lake!r}; {there} (setting allowed_lakes)")
