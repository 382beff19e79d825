"""``otzyv status``."""

from __future__ import annotations

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import json_option, lake_option


@click.command(cls=Command, epilog="otzyv status --lake demo-lake")
@lake_option
@click.option(
    "--days", type=click.IntRange(min=1), default=7, show_default=True, help="How many of the newest days to list."
)
@json_option
def status(lake: str, days: int, as_json: bool) -> None:
    """Tell at one look how a lake stands: its last days, what is held, what runs, the disk, the next daily run.

    What runs is asked of the server that PREFECT_API_URL names, else of the one that `otzyv serve` runs here. No server
    is started; where none answers, that is said.
    """
    from otzyv.flows.console.status import show_status
    from otzyv.flows.server.serving_now import serving_now
    from otzyv.tasks.alerts.book import Book
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.pipeline.overview import overview

    opened = Lake(lake)
    alerts = {kind: len(each) for kind, each in Book(opened.uri).state.open.items() if each}
    show_status(overview(opened, days), serving_now(opened.uri), alerts, as_json=as_json)
