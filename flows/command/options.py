"""Options that several commands have, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from otzyv.flows.settings import Settings


class Day(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2026-03-01", param, ctx)


def finite(ctx: click.Context, param: click.Parameter, number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise click.BadParameter(f"{number} is no amount of money", ctx, param)
    return number


def checked_lake(ctx: click.Context, param: click.Parameter, uri: str | None) -> str | None:
    from otzyv.tasks.lake.delta.storage import StorageError, check_uri

    try:
        return uri if uri is None else check_uri(uri)
    except StorageError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def lake_or_setting(ctx: click.Context, param: click.Parameter, uri: str | None) -> str | None:
    uri = uri or settings_now().lake
    if not uri:
        raise click.UsageError("which lake? give --lake, or set OTZYV_LAKE", ctx)
    return checked_lake(ctx, param, uri)


lake_option = click.option(
    "--lake", required=True, metavar="URI", callback=checked_lake, help="Folder or s3://bucket/path of the lake."
)


source_option = click.option(
    "--source", required=True, metavar="PATH", help="File or folder of reviews, or with {day}."
)


empty_option = click.option(
    "--allow-empty", is_flag=True, help="Files may hold no record, and a snapshot may leave days without any review."
)


gone_option = click.option(
    "--allow-gone",
    is_flag=True,
    help="What a snapshot lacks is gone although files of it are missing or were not read, or much would go.",
)


name_option = click.option(
    "--source-name", metavar="NAME", help="Tells the source from others that fill the same lake; else the setting's."
)


unpinned_option = click.option(
    "--allow-unpinned",
    multiple=True,
    metavar="NAME",
    help="Take files of this extractor of which no whole sha256 is known: what they have is recorded and held to.",
)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to standard output.")


def days_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in (("--to", "Last day."), ("--from", "First day."), ("--day", "This day alone.")):
        command = click.option(name, f"{name[2:]}_day".replace("day_day", "day"), type=Day(), help=text)(command)
    return command


def extractors_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--profile", help="A named list of extractors: embedded (default) or standard.")(command)
    return click.option(
        "--extractors", metavar="A,B", help="Names of extractors instead of a profile, or all-available."
    )(command)


def what_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "What changed; only what failed at its last attempt; or all, computed again."
    choice = click.Choice(["stale", "failed", "again"])
    return click.option("--what", type=choice, default="stale", show_default=True, help=text)(command)


def settings_now() -> Settings:
    from otzyv.flows.settings import load

    return load()


def looked_up(look_up: Callable[[], Any], hint: str) -> Any:
    try:
        return look_up()
    except LookupError as error:
        raise click.BadParameter(str(error.args[0]), param_hint=hint) from error


def extractor_names(extractors: str | None, profile: str | None, settings: Settings, lake: str) -> tuple[str, ...]:
    from otzyv.tasks.extractors import get, names
    from otzyv.tasks.pipeline.available import ALL, available

    if extractors is not None and profile is not None:
        raise click.UsageError("give either --extractors or --profile")
    if extractors is None:
        hint = "--profile" if profile is not None else "the setting profile"
        chosen: tuple[str, ...] = looked_up(lambda: names(settings.profile if profile is None else profile), hint)
        return chosen
    given = [name.strip() for name in extractors.split(",") if name.strip()]
    there = available(lake, given) if ALL in given else None
    for line in there.left_out if there else ():
        click.echo(line, err=True)
    wanted = tuple(dict.fromkeys(name for one in given for name in (there.names if there and one == ALL else [one])))
    if not wanted:
        raise click.BadParameter(f"name at least one of: {', '.join(names())}", param_hint="--extractors")
    for name in wanted:
        looked_up(partial(get, name), "--extractors")
    return wanted


def days_between(
    day: date | None, from_day: date | None, to_day: date | None, lake: str | None = None
) -> list[date] | None:
    """The days that the options choose; None without any. Of a range longer than a hundred years the lake's."""
    if day and (from_day or to_day):
        raise click.UsageError("give either --day, or --from and --to")
    if day:
        return [day]
    if not from_day and not to_day:
        return None
    if not from_day or not to_day:
        raise click.UsageError("--from and --to go together")
    from otzyv.flows.days import between, within
    from otzyv.schemas.errors import InvalidInput
    from otzyv.tasks.lake import Lake

    try:
        if lake is None:
            return between(from_day, to_day)
        chosen = within(from_day, to_day, lambda: Lake(lake).days)
    except InvalidInput as error:
        raise click.UsageError(f"--from and --to: {error}") from error
    if not chosen:
        raise click.UsageError(f"--from and --to: the lake has no day from {from_day} to {to_day}")
    return chosen
