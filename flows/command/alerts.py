"""``otzyv alerts``."""

from __future__ import annotations

import click

from otzyv.flows.command.base import Command, Group
from otzyv.flows.command.options import checked_lake, json_option, settings_now


@click.group(cls=Group, invoke_without_command=True, epilog="otzyv alerts --lake demo-lake")
@click.option("--lake", metavar="URI", callback=checked_lake, help="Folder or s3://bucket/path of the lake.")
@json_option
@click.pass_context
def alerts(ctx: click.Context, lake: str | None, as_json: bool) -> None:
    """List what is wrong now, since when, and how often a person was told of it."""
    if ctx.invoked_subcommand:
        return
    lake = lake or settings_now().lake
    if lake is None:
        raise click.UsageError("Missing option '--lake'.")
    from otzyv.flows.console import alerts as shown

    shown.show(lake, as_json=as_json)


@alerts.command(name="test", cls=Command, epilog="otzyv alerts test")
@json_option
def test(as_json: bool) -> None:
    """Send a message to each receiver of the settings, and say which took it.

    The address of the setting ping is not asked, as that would count as a good run: its host is only connected to.
    """
    settings = settings_now()
    from otzyv.flows.console import alerts as shown

    shown.try_receivers(settings, as_json=as_json)
