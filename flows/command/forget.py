"""``otzyv forget``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import json_option, lake_option, settings_now

if TYPE_CHECKING:
    pass


@click.command(
    cls=Command,
    epilog="otzyv forget --review r-17 --lake demo-lake --dry-run\n"
    "otzyv forget --author 'Иван П.' --lake demo-lake --yes",
)
@click.option("--review", metavar="ID", help="One review, by the source's own id.")
@click.option("--author", metavar="KEY", help="All reviews of an author, as the source names them, in any case.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--bar", is_flag=True, help="Keep their records out even if the lake has never held any.")
@lake_option
@json_option
def forget(
    review: str | None, author: str | None, dry_run: bool, yes: bool, bar: bool, lake: str, as_json: bool
) -> None:
    """Erase a review or a person from every table, file, release and log of a lake, at once and for good.

    Their records are not brought in again. Run it again after a crash, and after an ingest that was going on.
    """
    from otzyv.flows.console.forgotten import show_forgotten, show_held
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.pipeline.forget import find
    from otzyv.tasks.pipeline.forget import forget as erase

    if (review is None) == (author is None):
        raise click.UsageError("give either --review or --author")
    key = settings_now().key(Lake(lake).uri).get_secret_value()
    if dry_run or not yes:
        held = find(lake, key, review=review, author=author)
        if dry_run or (sys.stdin.isatty() and not as_json):
            show_held(held, as_json=as_json)
        if dry_run:
            return
        if not sys.stdin.isatty() or as_json:
            raise click.ClickException(
                "what is forgotten can't be brought back, and nobody is here to be asked: say --yes, or --dry-run to "
                "see what would go"
            )
        if held.known or bar or held.blobs:
            click.confirm("What is forgotten can't be brought back. Erase it?", abort=True)
    show_forgotten(erase(lake, key, review=review, author=author, ahead=bar), lake, as_json=as_json)
