"""How the last attempts at tables ended, as a lake's runs tell."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

ATTEMPT = ("table", "day", "state", "started_at")


def last_failed(runs: pa.Table) -> set[tuple[str, date]]:
    """Tables and days whose last attempt failed. ``runs``: the columns ``ATTEMPT`` of that table."""
    last = {(run["table"], run["day"]): run["state"] for run in sorted(runs.to_pylist(), key=lambda r: r["started_at"])}
    return {place for place, state in last.items() if state == "failed"}
