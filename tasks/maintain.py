"""Task: keep a lake small."""

from __future__ import annotations

from prefect import task

from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.upkeep.maintain import Keep, Maintained
from otzyv.tasks.lake.upkeep.maintain import maintain as tidy
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault


@task(name="maintain", retries=RETRIES, retry_delay_seconds=DELAYS, retry_condition_fn=environment_fault)
def maintain(lake_uri: str, keep: Keep) -> Maintained:
    """Retire releases beyond those to keep, join small files, remove what nothing needs, shorten the logs."""
    return tidy(Lake(lake_uri), keep)
