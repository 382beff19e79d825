"""The quality page of days that are in the lake, made again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from otzyv.flows.allowed import check_lake
from otzyv.flows.checked import checked_flow
from otzyv.flows.features import DayReport
from otzyv.flows.run_names import named
from otzyv.tasks.pipeline.ingest import Accounting
from otzyv.tasks.quality_page import newest_page, quality_page, quality_page_of_days
from otzyv.tasks.unvisited import unvisited


@checked_flow(name="quality", flow_run_name=named("quality"))
def quality(lake: str, from_day: date | None = None, to_day: date | None = None) -> str:
    """Render the quality page of a range of days from what earlier runs have recorded; returns where it lies.

    Nothing is computed or measured again.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        from_day: First day; without it, from the first that a run has made.
        to_day: Last day, itself included; without it, to the last that a run has made.
    """
    check_lake(lake)
    return quality_page_of_days(lake, from_day, to_day)


def page_of(lake: str, accounting: Accounting | None, reports: Sequence[DayReport]) -> str | None:
    """The page of a run, written if the run changed something; else the newest page there is, None without any."""
    runs = [run for report in reports for run in report.tables]
    if all(run.state == "unchanged" for run in runs):
        return newest_page(lake)
    verdicts = {report.day: report.verdict for report in reports}
    return quality_page(lake, accounting, unvisited(verdicts), unvisited(runs))
