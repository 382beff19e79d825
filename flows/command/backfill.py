"""``otzyv plan`` and ``backfill``."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Literal

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import (
    days_between,
    days_options,
    extractor_names,
    extractors_options,
    finite,
    json_option,
    lake_option,
    settings_now,
    what_option,
)
from otzyv.flows.server import prefect_server

if TYPE_CHECKING:
    pass


@click.command(cls=Command, epilog="otzyv plan --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@lake_option
@days_options
@extractors_options
@what_option
@json_option
def plan(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    what: Literal["stale", "failed", "again"],
    as_json: bool,
) -> None:
    """Say what making days would cost: rows to compute and why, seconds and money. Nothing is written."""
    from otzyv.flows.console.backfill import show_plan
    from otzyv.tasks.plan import plan as plan_days

    names = extractor_names(extractors, profile, settings_now(), lake)
    planned = plan_days.fn(lake, names, days_between(day, from_day, to_day, lake), what=what)
    planned.check_days()
    show_plan(planned, as_json=as_json)


@click.command(cls=Command, epilog="otzyv backfill --lake demo-lake --from 2026-03-01 --to 2026-03-31 --dry-run")
@lake_option
@days_options
@extractors_options
@what_option
@click.option("--dry-run", is_flag=True, help="Show the plan and end.")
@click.option("--days-at-once", type=click.IntRange(1, 16), default=1, show_default=True, help="Days side by side.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    callback=finite,
    help="Money for paid APIs; days that would pass it wait.",
)
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest day instead of the newest.")
@json_option
def backfill(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    what: Literal["stale", "failed", "again"],
    dry_run: bool,
    days_at_once: int,
    budget: float | None,
    oldest_first: bool,
    as_json: bool,
) -> None:
    """Make past days again, at the cost of what changed; without days, all of the lake's."""
    from otzyv.flows.backfill import Backfill, BackfillIncomplete, ExtractorName
    from otzyv.flows.backfill import backfill as run_backfill
    from otzyv.flows.console.backfill import show_backfill
    from otzyv.flows.console.screen import progress
    from otzyv.tasks.lake import Lake

    names = extractor_names(extractors, profile, settings_now(), lake)
    uri = Lake(lake).uri
    days_between(day, from_day, to_day, lake)
    request = Backfill(
        from_day=day or from_day,
        to_day=day or to_day,
        extractors=[ExtractorName(name) for name in names if name in set(ExtractorName)],
        others=[name for name in names if name not in set(ExtractorName)],
        what=what,
        dry_run=dry_run,
        days_at_once=days_at_once,
        budget=budget,
        order="oldest first" if oldest_first else "newest first",
    )
    prefect_server.start()
    failure = None
    with progress(quiet=as_json), prefect_server.without_heartbeats():
        try:
            report = run_backfill(uri, request)
        except BackfillIncomplete as error:
            report, failure = error.report, error
    show_backfill(report, as_json=as_json)
    if failure is not None:
        raise failure
