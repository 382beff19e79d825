"""``otzyv serve``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import lake_or_setting, settings_now
from otzyv.flows.server import prefect_server

if TYPE_CHECKING:
    pass


@click.command(cls=Command, epilog="otzyv serve --lake demo-lake")
@click.option("--lake", metavar="URI", callback=lake_or_setting, help="The lake; else the setting's (OTZYV_LAKE).")
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True, help="Of Prefect's pages.")
@click.option("--check", is_flag=True, help="Start, see that the scheduler plans runs, and stop.")
@click.option(
    "--no-login",
    is_flag=True,
    help="Let everyone with an account on this machine start, change and stop runs: for a machine of one's own.",
)
@click.option(
    "--log-file", type=click.Path(dir_okay=False), help="Write the log there as well; six files of 10 MiB are kept."
)
@click.option("--reset", is_flag=True, help="Set what was changed in Prefect back to what the settings say.")
def serve(lake: str, port: int, check: bool, no_login: bool, log_file: str | None, reset: bool) -> None:
    """Serve the daily run and backfills with Prefect's pages, on this machine alone.

    A lake that is not there yet is made. Of several that serve one lake the first works, and the others wait for its
    end. Starts Prefect's server, unless another one of this user runs it already or PREFECT_API_URL points at one,
    deploys, and works on what is scheduled and started.
    Its pages ask for a login: it is shown once, when it is made, and kept for later starts and for commands beside it.
    """
    shown = sys.stderr
    if log_file:
        _also_to(log_file)
    prefect_server.configure(serving=True)
    from otzyv.flows.run import open_lake
    from otzyv.flows.serving.serve import serve as start_serving

    settings = settings_now()
    settings.check_receivers()
    uri = open_lake(lake, settings.constants, settings.key(lake))
    start_serving(
        uri,
        settings,
        port,
        lambda line: click.echo(line, err=True),
        lambda line: click.echo(line, file=shown),
        check=check,
        with_login=not no_login,
        reset=reset,
    )


def _also_to(path: str) -> None:
    """Must come before Prefect is imported, whose log goes to standard error as it is then."""
    from pathlib import Path

    from otzyv.flows.serving.log_file import LogFile

    try:
        sys.stderr = LogFile(Path(path), sys.stderr)
    except OSError as error:
        raise click.UsageError(f"the log can't be written to {path} ({error.strerror})") from error
