"""``otzyv releases`` and ``rollback``."""

from __future__ import annotations

from datetime import date

import click

from otzyv.flows.command.base import Command, Group
from otzyv.flows.command.options import Day, checked_lake, json_option, lake_option


@click.group(cls=Group, invoke_without_command=True, epilog="otzyv releases --lake demo-lake --day 2026-03-01")
@click.option("--lake", metavar="URI", callback=checked_lake, help="Folder or s3://bucket/path of the lake.")
@click.option("--day", type=Day(), help="Of this day alone.")
@json_option
@click.pass_context
def releases(ctx: click.Context, lake: str | None, day: date | None, as_json: bool) -> None:
    """List what readers see of each day, what is held for a person to look at, and what was before."""
    if ctx.invoked_subcommand:
        return
    if lake is None:
        raise click.UsageError("Missing option '--lake'.")
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    flow.show(Lake(lake), day, as_json=as_json)


@releases.command(name="approve", cls=Command, epilog="otzyv releases approve 2026-03-01 --lake demo-lake")
@click.argument("day", type=Day())
@lake_option
@json_option
def approve(day: date, lake: str, as_json: bool) -> None:
    """Let readers see the release of a day that is held."""
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    flow.approve(Lake(lake), day, as_json=as_json)


@click.command(cls=Command, epilog="otzyv rollback 2026-03-01 --lake demo-lake")
@click.argument("target", metavar="DAY|RELEASE")
@lake_option
@json_option
def rollback(target: str, lake: str, as_json: bool) -> None:
    """Make an earlier release current: the one before what readers of the day see, or the one named.

    No data is copied. It stays so until a person approves what later runs make of the day.
    """
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    try:
        wanted: date | str = date.fromisoformat(target) if "-" in target else target
    except ValueError as error:
        raise click.BadParameter(f"{target!r} is no day; write it as 2026-03-01", param_hint="DAY|RELEASE") from error
    flow.rollback(Lake(lake), wanted, as_json=as_json)
