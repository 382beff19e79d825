"""Where the runs of what ``otzyv serve`` deploys take their place, and what their processes are told."""

from __future__ import annotations

DAYS, PARENTS = "otzyv", "otzyv-parents"
"""Work pools: of runs that compute, as many at a time as there are slots, and of those that only wait for others."""
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""In a run's environment, in seconds."""
