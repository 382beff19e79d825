"""``otzyv doctor``, ``maintain`` and ``quality``."""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import days_between, days_options, json_option, lake_option
from otzyv.flows.server import prefect_server

if TYPE_CHECKING:
    pass


@click.command(cls=Command, epilog="otzyv doctor --lake demo-lake --deep")
@lake_option
@click.option("--repair", is_flag=True, help="Repair what can be repaired without loss; damaged files are moved aside.")
@click.option("--deep", is_flag=True, help="Read every file and compare it with its checksum.")
@json_option
def doctor(lake: str, repair: bool, deep: bool, as_json: bool) -> None:
    """Find and mend what a crash or a bad disk can leave in a lake. Exit status 1 where something is left.

    Runs on this lake that Prefect's server (PREFECT_API_URL) takes for running although they are dead count as well.
    """
    from otzyv.flows.console.findings import show_findings
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.delta.storage import Storage
    from otzyv.tasks.lake.upkeep.doctor import constants_of, examine
    from otzyv.tasks.pipeline.edition import mixed_days

    findings = list(constants_of(Storage(lake), repair=repair))
    if not all(finding.repaired for finding in findings):
        show_findings(findings, deep=deep, as_json=as_json)
        sys.exit(1)
    opened = Lake(lake)
    findings += [*examine(opened, repair=repair, deep=deep), *mixed_days(opened)]
    try:
        if os.environ.get("PREFECT_API_URL"):
            from otzyv.flows.serving.deployments import FLOWS, WITHIN
            from otzyv.tasks.dead_runs import dead_runs

            prefect_server.start()
            findings += dead_runs(opened.uri, [*FLOWS, *WITHIN], repair=repair)
    finally:  # a server that can't be reached hides nothing of what was found and mended
        show_findings(findings, deep=deep, as_json=as_json)
    if not all(finding.repaired for finding in findings):
        sys.exit(1)


@click.command(cls=Command, epilog="otzyv maintain --lake demo-lake")
@lake_option
@json_option
def maintain(lake: str, as_json: bool) -> None:
    """Keep a lake small: retire old releases, and remove the files that nothing needs any more.

    What readers see stays, and so do the newest releases of each day and all that is young: the setting maintain says
    how many and how young.
    """
    from dataclasses import asdict

    from otzyv.flows.maintain import maintain as flow
    from otzyv.tasks.lake import Lake

    uri = Lake(lake).uri
    prefect_server.start()
    done = asdict(flow(uri))
    click.echo(
        json.dumps(done) if as_json else ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in done.items())
    )


@click.command(cls=Command, epilog="otzyv quality --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@lake_option
@days_options
@json_option
def quality(lake: str, day: date | None, from_day: date | None, to_day: date | None, as_json: bool) -> None:
    """Render the quality page of days from what their runs have recorded; without days, of all of them."""
    from otzyv.flows.quality import quality as flow
    from otzyv.tasks.lake import Lake

    days = days_between(day, from_day, to_day, lake)
    uri = Lake(lake).uri
    prefect_server.start()
    page = flow(uri, days[0] if days else None, days[-1] if days else None)
    click.echo(json.dumps({"page": page}) if as_json else f"quality page: {page}")
