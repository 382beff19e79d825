"""``otzyv run``, ``demo``, ``ingest`` and ``features``: the main job and its halves."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import (
    checked_lake,
    days_between,
    days_options,
    empty_option,
    extractor_names,
    extractors_options,
    gone_option,
    json_option,
    lake_option,
    name_option,
    settings_now,
    source_option,
)

if TYPE_CHECKING:
    from otzyv.flows.settings import Settings
    from otzyv.tasks.pipeline.ingest import Source


@click.command(
    cls=Command,
    epilog="otzyv run --source infra/demo/reviews --lake demo-lake\n"
    "otzyv run --source 'incoming/{day}.jsonl' --lake s3://bucket/lake --day 2026-03-01 --profile standard",
)
@source_option
@lake_option
@days_options
@extractors_options
@name_option
@empty_option
@gone_option
@json_option
def run(
    source: str,
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    source_name: str | None,
    allow_empty: bool,
    allow_gone: bool,
    as_json: bool,
) -> None:
    """Bring a source's records into the lake and make the features of each day.

    Reads JSON, CSV, spreadsheets, Parquet and Delta tables. All records come in. Days choose whose features are made
    and, where the path holds {day}, which files are read; without days, every day found in the source is made.
    """
    settings = settings_now()
    names = extractor_names(extractors, profile, settings, lake)
    brought = _source(source, settings, source_name, allow_empty, allow_gone)
    _main_job(lake, names, settings, days_between(day, from_day, to_day), as_json, source=brought)


@click.command(cls=Command, epilog="otzyv demo")
@click.option(
    "--lake", default="demo-lake", show_default=True, metavar="URI", callback=checked_lake, help="The demo's lake."
)
def demo(lake: str) -> None:
    """Run the main job on the demo reviews that the project ships; nothing is downloaded.

    Run again, it finds that nothing changed and writes nothing. Extractors whose weights set-up could not get are left
    out, and named.
    """
    from otzyv.tasks.pipeline.available import without_weights
    from otzyv.tasks.pipeline.ingest import Source

    reviews = Path(__file__).parents[2] / "infra" / "demo" / "reviews"
    settings = settings_now()
    chosen = extractor_names(None, "embedded", settings, lake)
    left_out = without_weights(chosen)
    for name, how in left_out.items():
        click.echo(f"left out, weights not here: {name}; {how}", err=True)
    names = tuple(name for name in chosen if name not in left_out)
    _main_job(lake, names, settings, None, False, source=Source(str(reviews)))


@click.command(cls=Command, epilog="otzyv ingest --source infra/demo/reviews --lake demo-lake")
@source_option
@lake_option
@days_options
@name_option
@empty_option
@gone_option
@json_option
def ingest(
    source: str,
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    source_name: str | None,
    allow_empty: bool,
    allow_gone: bool,
    as_json: bool,
) -> None:
    """Bring a source's records into the lake, without making features.

    Days choose among the files of a source whose path holds {day}.
    """
    settings = settings_now()
    brought = _source(source, settings, source_name, allow_empty, allow_gone)
    _main_job(lake, None, settings, days_between(day, from_day, to_day), as_json, source=brought)


@click.command(
    cls=Command, epilog="otzyv features --lake demo-lake --day 2026-03-01 --extractors sentiment_mini,text_navec"
)
@lake_option
@days_options
@extractors_options
@json_option
def features(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Make the features of days that are in the lake; without days, of all of them."""
    settings = settings_now()
    names = extractor_names(extractors, profile, settings, lake)
    _main_job(lake, names, settings, days_between(day, from_day, to_day, lake), as_json, source=None)


def _source(path: str, settings: Settings, name: str | None, allow_empty: bool, allow_gone: bool) -> Source:
    from otzyv.flows.ingest import chosen
    from otzyv.flows.settings import SOURCE_NAME

    if name is not None and not re.fullmatch(SOURCE_NAME, name):
        raise click.BadParameter(f"{name!r} is no name of letters, digits, - . and _", param_hint="--source-name")
    return chosen(path, settings, name=name, allow_empty=allow_empty, allow_gone=allow_gone)


def _main_job(
    lake: str,
    names: Sequence[str] | None,
    settings: Settings,
    days: list[date] | None,
    as_json: bool,
    *,
    source: Source | None,
) -> None:
    from otzyv.flows.console.report import as_object, notes, show_report
    from otzyv.flows.console.screen import progress
    from otzyv.flows.run import run as main_job

    imports = time.perf_counter() - click.get_current_context().find_root().obj
    with progress(quiet=as_json):
        report = main_job(
            lake,
            names,
            source=source,
            days=days,
            constants=settings.constants,
            author_key=settings.key(lake) if source else None,
        )
    if as_json:
        click.echo(json.dumps(as_object(report), ensure_ascii=False, default=str))
    else:
        show_report(report, imports)
    for line in notes(report):
        click.echo(line, err=True)
    if report.failed:
        sys.exit(1)
