"""``otzyv models``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command, Group
from otzyv.flows.command.options import checked_lake, json_option, looked_up, unpinned_option

if TYPE_CHECKING:
    pass


@click.group(cls=Group, invoke_without_command=True, epilog="otzyv models --lake demo-lake")
@click.option(
    "--lake", metavar="URI", callback=checked_lake, help="Show the contents per second that this lake's runs computed."
)
@click.option("--markdown", type=click.Path(exists=True, path_type=Path), help="Renew the table of models in a file.")
@json_option
@click.pass_context
def models(ctx: click.Context, lake: str | None, markdown: Path | None, as_json: bool) -> None:
    """List the extractors; the model store."""
    if ctx.invoked_subcommand:
        return
    from otzyv.flows.console import models as store
    from otzyv.tasks.lake import Lake

    if markdown:
        store.write_table(markdown)
    else:
        store.show(Lake(lake) if lake else None, as_json=as_json)


@models.command(name="pull", cls=Command, epilog="otzyv models pull image_resnet50")
@click.argument("name", metavar="NAME|PROFILE")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Another folder than the model store.")
@click.option("--yes", is_flag=True, help="Agree to licences that forbid commercial use.")
@unpinned_option
@json_option
def pull(name: str, to: Path | None, yes: bool, allow_unpinned: tuple[str, ...], as_json: bool) -> None:
    """Fetch weights from their source, once; a broken download goes on where it stopped."""
    from otzyv.flows.console import models as store

    cards = looked_up(lambda: store.chosen(name), "NAME|PROFILE")
    store.pull(cards, to, agreed=yes, unpinned=allow_unpinned, as_json=as_json)


@models.command(name="verify", cls=Command, epilog="otzyv models verify standard")
@click.argument("name", metavar="[NAME|PROFILE]", required=False)
@json_option
def verify(name: str | None, as_json: bool) -> None:
    """Check the sha256 of the weights that are here: of all, or of those named, which must then be here."""
    from otzyv.flows.console import models as store
    from otzyv.tasks.extractors import get, names

    cards = looked_up(lambda: store.chosen(name), "NAME|PROFILE") if name else [get(each).card for each in names()]
    if not store.verify(cards, as_json=as_json, all_of_them=name is None):
        sys.exit(1)


@models.command(name="where", cls=Command, epilog="otzyv models where image_resnet50")
@click.argument("name")
@json_option
def where(name: str, as_json: bool) -> None:
    """Print where the files of an extractor's weights lie or are to lie."""
    from otzyv.flows.console import models as store
    from otzyv.tasks.extractors import get

    store.where(looked_up(lambda: get(name), "NAME").card, as_json=as_json)


@models.command(name="export", cls=Command, epilog="otzyv models export standard text_navec --to weights.tar")
@click.argument("names", metavar="NAME|PROFILE...", nargs=-1, required=True)
@click.option("--to", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The archive to write.")
@json_option
def export_models(names: tuple[str, ...], to: Path, as_json: bool) -> None:
    """Put weights into one archive, for a machine without network."""
    from otzyv.flows.console import models as store

    cards = {card.name: card for name in names for card in looked_up(partial(store.chosen, name), "NAME|PROFILE")}
    store.export(list(cards.values()), to, as_json=as_json)


@models.command(name="import", cls=Command, epilog="otzyv models import weights.tar")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@unpinned_option
@json_option
def import_models(archive: Path, allow_unpinned: tuple[str, ...], as_json: bool) -> None:
    """Take the weights of an archive into the model store, all of them or none."""
    from otzyv.flows.console import models as store

    store.take_in(archive, unpinned=allow_unpinned, as_json=as_json)
