"""Keep a lake small: weekly, beside whatever else runs."""

from __future__ import annotations

from dataclasses import replace

from otzyv.flows.allowed import check_lake
from otzyv.flows.checked import checked_flow
from otzyv.flows.run_names import named
from otzyv.flows.settings import load
from otzyv.tasks.lake.upkeep.maintain import Keep, Maintained
from otzyv.tasks.maintain import maintain as tidy
from otzyv.tasks.old_runs import forget_old_runs

NAMES = ("adapt", "backfill", "backfill days", "daily", "features", "fit", "ingest", "maintain", "quality")
"""Of all our flows, whose runs Prefect's database is to forget."""


@checked_flow(name="maintain", flow_run_name=named("maintain"))
def maintain(lake: str, keep: Keep | None = None) -> Maintained:
    """Retire old releases, join small files, remove what no version and no kept release needs, shorten the logs.

    Quality pages go once they are old, and what retired fits learned once no row that can be seen was made with it.

    Every day keeps what readers see and its newest releases, as `keep` says (else the settings). Files that are young,
    and what live runs have staged, stay. What a retired release needed goes with the next maintenance. Where Prefect's
    database is this machine's own, runs of long ago go from it.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        keep: What to leave alone; without it, what the settings say.
    """
    check_lake(lake)
    keep = keep or load().maintain
    return replace(tidy(lake, keep), runs=forget_old_runs(NAMES, keep.run_days))
