"""``otzyv fit``, ``promote``, ``adapt`` and ``train``: what learns."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otzyv.flows.command.base import Command, Group
from otzyv.flows.command.options import days_between, days_options, json_option, lake_option, looked_up
from otzyv.flows.server import prefect_server

if TYPE_CHECKING:
    pass


@click.command(cls=Command, epilog="otzyv fit text_tfidf --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@click.argument("name")
@lake_option
@days_options
@json_option
def fit(name: str, lake: str, day: date | None, from_day: date | None, to_day: date | None, as_json: bool) -> None:
    """Let an extractor learn from days of the lake; without days, from all of them.

    What it learned is kept in the lake: in use at once if it is the first, else once it is promoted.
    """
    from otzyv.flows.console.learned import show_fit
    from otzyv.flows.fit import fit as learn
    from otzyv.tasks.fit import fitted
    from otzyv.tasks.lake import Lake

    looked_up(partial(fitted, name), "NAME")
    days = days_between(day, from_day, to_day, lake)
    prefect_server.start()
    show_fit(learn(Lake(lake).uri, name, *((days[0], days[-1]) if days else ())), lake, as_json=as_json)


@click.command(cls=Command, epilog="otzyv promote text_tfidf --lake demo-lake --version 1")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Which one; by default the newest.")
@lake_option
@json_option
def promote(name: str, version: int | None, lake: str, as_json: bool) -> None:
    """Put a version of what an extractor learned into use; the next run makes its rows again."""
    from otzyv.flows.console.learned import show_promoted
    from otzyv.tasks.fit import promote as put_in_use

    show_promoted(looked_up(partial(put_in_use, lake, name, version), "NAME"), as_json=as_json)


@click.command(cls=Command, epilog="otzyv adapt --lake demo-lake --base text_rubert_tiny2 --name text_reviews")
@lake_option
@click.option("--base", required=True, metavar="NAME", help="The encoder of texts to go on from.")
@click.option("--name", help="The new extractor's name; by default the base's with _adapted.")
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True, help="How often it sees each text.")
@days_options
@json_option
def adapt(
    lake: str,
    base: str,
    name: str | None,
    epochs: int,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    as_json: bool,
) -> None:
    """Go on training a BERT on the lake's reviews, by guessing hidden words; without days, on all of them.

    It becomes an extractor in the model store. Killed, it goes on from its last checkpoint.
    """
    from otzyv.flows.adapt import adapt as go_on
    from otzyv.flows.console.learned import show_adapted
    from otzyv.flows.console.screen import progress
    from otzyv.tasks.adapt import adaptable
    from otzyv.tasks.lake import Lake

    looked_up(partial(adaptable, base), "--base")
    days = days_between(day, from_day, to_day, lake)
    prefect_server.start()
    with progress(quiet=as_json):
        made = go_on(Lake(lake).uri, base, name, days[0] if days else None, days[-1] if days else None, epochs)
    show_adapted(made, lake, as_json=as_json)


@click.group(cls=Group, epilog="otzyv train sentiment --data ru_goemotions/ --out model.ftz")
def train() -> None:
    """Train what the project ships."""


@train.command(name="sentiment", cls=Command, epilog="otzyv train sentiment --data ru_goemotions/ --out model.ftz")
@click.option(
    "--data", required=True, multiple=True, type=click.Path(exists=True, path_type=Path), help="ru-goemotions CSVs."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the model is written.")
@json_option
def train_sentiment(data: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Train sentiment_mini's model and print what it scores on held-out comments."""
    from otzyv.flows.console.learned import show_training
    from otzyv.flows.train import sentiment

    show_training(sentiment(data, out), as_json=as_json)
