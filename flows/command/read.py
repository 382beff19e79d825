"""``otzyv show``, ``schema``, ``clean``, ``export`` and ``explain``."""

from __future__ import annotations

import json
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otzyv.flows.command.base import Command
from otzyv.flows.command.options import (
    Day,
    days_between,
    days_options,
    json_option,
    lake_option,
    looked_up,
    settings_now,
)

if TYPE_CHECKING:
    from otzyv.schemas.table import Table


@click.command(cls=Command, epilog="otzyv show sentiment_mini --lake demo-lake --day 2026-03-01 --limit 5")
@click.argument("table")
@lake_option
@click.option("--day", type=Day(), help="One day of it.")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows.")
@json_option
def show(table: str, lake: str, day: date | None, limit: int, as_json: bool) -> None:
    """Print rows of a table; a vector as its dimension, norm and first values."""
    from otzyv.flows.console.rows import other_release, show_rows
    from otzyv.tasks.lake import Lake

    opened = Lake(lake)
    known = looked_up(partial(opened.table, table), "TABLE")
    show_rows(opened, known, day, limit, as_json=as_json)
    if day and (note := other_release(opened, known, day)):
        click.echo(note, err=True)


@click.command(cls=Command, epilog="otzyv schema sentiment_mini")
@click.argument("table", required=False)
@json_option
def schema(table: str | None, as_json: bool) -> None:
    """Print the data dictionary: of one table, or the list of all."""
    from otzyv.flows.console.rows import show_schema
    from otzyv.tasks.extractors import get
    from otzyv.tasks.extractors.vector.pca import PCA

    tables = _tables()
    if table and ("@" in table or table.startswith(PCA)):
        tables[table] = looked_up(partial(get, table), "TABLE").card.table
    show_schema(tables, table, as_json=as_json)


@click.command(cls=Command, epilog="otzyv clean 'Отличный курc!' --explain")
@click.argument("text")
@click.option("--explain", is_flag=True, help="Show what is redacted, and which rule did what.")
@json_option
def clean(text: str, explain: bool, as_json: bool) -> None:
    """Redact a text as an ingest does, and clean it by the rules, two ways: plain and text."""
    from otzyv.flows.console.cleaning import show_cleaning

    show_cleaning(text, settings_now().redact.kinds, explain=explain, as_json=as_json)


@click.command(
    cls=Command, epilog="otzyv export --lake demo-lake --tables reviews,sentiment_mini --out features.parquet"
)
@lake_option
@days_options
@click.option("--tables", required=True, metavar="A,B", help="Names of tables; several are joined by review_id.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A file, .parquet or .csv.")
@json_option
def export(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    tables: str,
    out: Path,
    as_json: bool,
) -> None:
    """Write released rows into one file, as ``Lake.frame`` gives them; without days, of all released days.

    In CSV lists are JSON, and ' stands before a text that a spreadsheet could take for a formula; ids that are a word
    after their sign stay as they are. Embeddings are personal data, as what they are made of is: words can be read back
    from those of texts.
    """
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.upkeep.export import export as write
    from otzyv.tasks.pipeline.spans import spans

    opened = Lake(lake)
    named = [name.strip() for name in tables.split(",") if name.strip()]
    for name in named:
        looked_up(partial(opened.table, name), "--tables")
    wanted = days_between(day, from_day, to_day, lake)
    seen = opened.releases(wanted)
    if left := [each for each in wanted or () if each not in seen]:
        click.echo(f"no release of {spans(left)}", err=True)
    rows = write(opened, sorted(seen), named, out)
    for kind, what in (("text", "words can be read back from them"), ("other", "they tell of people's own files")):
        if vectors := [name for name in named if vectors_of(opened.table(name)) == kind]:
            click.echo(f"{', '.join(vectors)}: embeddings are personal data, {what}", err=True)
    if as_json:
        click.echo(json.dumps({"out": out, "rows": rows, "days": sorted(seen), "not_released": left}, default=str))
    else:
        click.echo(f"{out}: {rows} rows of {len(seen)} days")


def vectors_of(table: Table) -> str | None:
    """What the vectors of a table are made of, ``text`` or ``other``; None where it has none."""
    if "embedding" not in table.names:
        return None
    from otzyv.tasks.extractors.vector.pca import PCA

    return "text" if table.name.removeprefix(PCA).startswith("text_") else "other"


@click.command(cls=Command, epilog="otzyv explain r001 --lake demo-lake")
@click.argument("review_id")
@lake_option
@click.option("--day", type=Day(), help="The day it lies in, if it is known.")
@click.option("--recompute", is_flag=True, help="Compute each feature again and compare.")
@json_option
def explain(review_id: str, lake: str, day: date | None, recompute: bool, as_json: bool) -> None:
    """Tell how each feature of a review came about: content, code, weights, run and checks.

    Exits with status 1 if a feature computed again is beyond its card's tolerance.
    """
    from otzyv.flows.console.explain import explain as show_origin
    from otzyv.tasks.lake import Lake

    if not show_origin(Lake(lake), review_id, day, recompute=recompute, as_json=as_json):
        sys.exit(1)


def _tables() -> dict[str, Any]:
    from otzyv.schemas.tables import TABLES
    from otzyv.tasks.extractors import get, names

    return {**TABLES, **{name: get(name).card.table for name in names()}}
