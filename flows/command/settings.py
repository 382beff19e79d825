"""``otzyv init`` and ``otzyv settings``: a settings file to start from, and what is set where."""

from __future__ import annotations

from pathlib import Path

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import json_option


@click.command(cls=Command, epilog="otzyv init")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="otzyv.toml")
@json_option
def init(path: Path, as_json: bool) -> None:
    """Write a settings file (otzyv.toml) in which every setting is explained and commented out.

    A file that is there already is left as it is.
    """
    from otzyv.flows.console import settings as shown

    shown.write(path, as_json=as_json)


@click.command(cls=Command, epilog="otzyv settings")
@click.option("--markdown", type=click.Path(exists=True, path_type=Path), help="Renew the table of settings in a file.")
@json_option
def settings(markdown: Path | None, as_json: bool) -> None:
    """Show every setting, its value and where it comes from; secrets are hidden."""
    from otzyv.flows.console import settings as shown

    if markdown:
        shown.write_table(markdown)
    else:
        shown.show(as_json=as_json)
