"""``otzyv quarantine``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from otzyv.flows.command.base import Command, Group
from otzyv.flows.command.options import Day, checked_lake, json_option, lake_option, settings_now

if TYPE_CHECKING:
    from otzyv.tasks.lake.records.quarantine import Wanted


def _refused(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose among the records in quarantine."""
    for option in (
        click.option("--reason", metavar="WORDS", help="Refused for a reason that has these words."),
        click.option("--day", type=Day(), help="Arrived on this day."),
        click.option("--source", metavar="FILE", help="Of this file or folder of the source, or of a named source."),
        click.option("--rule", help="Refused by this rule."),
    ):
        command = option(command)
    return command


def _wanted(rule: str | None, source: str | None, day: date | None, reason: str | None) -> Wanted:
    from otzyv.schemas.tables import RULES
    from otzyv.tasks.lake.records.quarantine import Wanted

    if rule is not None and rule not in RULES:
        raise click.BadParameter(f"no rule {rule!r}; there are: {', '.join(RULES)}", param_hint="--rule")
    return Wanted(rule, source, day, reason)


@click.group(cls=Group, invoke_without_command=True, epilog="otzyv quarantine --lake demo-lake --rule range")
@click.option("--lake", metavar="URI", callback=checked_lake, help="Folder or s3://bucket/path of the lake.")
@_refused
@json_option
@click.pass_context
def quarantine(
    ctx: click.Context,
    lake: str | None,
    rule: str | None,
    source: str | None,
    day: date | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """List how many records were refused, by rule, reason, source and day of arrival."""
    if ctx.invoked_subcommand:
        return
    if lake is None:
        raise click.UsageError("Missing option '--lake'.")
    from otzyv.flows.console.quarantine import show_counts
    from otzyv.tasks.lake import Lake

    show_counts(Lake(lake), _wanted(rule, source, day, reason), as_json=as_json)


@quarantine.command(name="show", cls=Command, epilog="otzyv quarantine show --lake demo-lake --rule range")
@lake_option
@_refused
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many records.")
@click.option("--unredacted", is_flag=True, help="Show the personal data in their texts as well.")
@json_option
def show_refused(
    lake: str,
    rule: str | None,
    source: str | None,
    day: date | None,
    reason: str | None,
    limit: int,
    unredacted: bool,
    as_json: bool,
) -> None:
    """Show refused records whole, with >>> and <<< around what is wrong. They are people's reviews, names included."""
    from otzyv.flows.console.quarantine import show_records
    from otzyv.tasks.lake import Lake

    wanted = _wanted(rule, source, day, reason)
    show_records(Lake(lake), wanted, settings_now(), limit, unredacted=unredacted, as_json=as_json)


@quarantine.command(
    name="replay", cls=Command, epilog="otzyv quarantine replay --lake demo-lake --mapping rating=stars"
)
@lake_option
@_refused
@click.option("--mapping", "mapped", multiple=True, metavar="OURS=THEIRS", help="Beside the setting mapping.")
@click.option("--files", metavar="PATH", help="The source, for the files that its records name.")
@json_option
def replay_refused(
    lake: str,
    rule: str | None,
    source: str | None,
    day: date | None,
    reason: str | None,
    mapped: tuple[str, ...],
    files: str | None,
    as_json: bool,
) -> None:
    """Take refused records in again, after the mapping, the settings or otzyv itself was changed.

    They are read as their source would be now. What is good leaves quarantine; a newer state of a review stays. Exits
    with status 1 if none of them can be taken in.
    """
    from otzyv.flows.console.quarantine import replay
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.sources import COLUMNS

    pairs = [pair.partition("=")[::2] for pair in mapped]
    for ours, theirs in pairs:
        if ours not in COLUMNS or not theirs:
            raise click.BadParameter(
                f"{ours!r}: write a column and its name in the source as rating=stars; columns are: "
                f"{', '.join(COLUMNS)}",
                param_hint="--mapping",
            )
    if not replay(Lake(lake), _wanted(rule, source, day, reason), settings_now(), files, dict(pairs), as_json=as_json):
        sys.exit(1)
