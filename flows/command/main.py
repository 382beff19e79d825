"""The ``otzyv`` command. Heavy parts are imported by the commands that need them, so that ``--help`` is quick."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from otzyv.flows.server import prefect_server

if TYPE_CHECKING:
    from otzyv.flows.settings import Settings
    from otzyv.schemas.table import Table
    from otzyv.tasks.lake.records.quarantine import Wanted
    from otzyv.tasks.pipeline.ingest import Source


class _Day(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2026-03-01", param, ctx)


class _Command(click.Command):
    """Shows its example as it was written."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write("\nExample:\n")
            formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))


class _Group(_Command, click.Group):
    command_class = _Command
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        """Turn an error into one line on standard error and exit status 1 (2 for settings); --debug says more."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _raised_in(error).startswith(("click", "rich")):
                raise  # nobody reads on, as after `head`: click ends quietly
            if ctx.find_root().params.get("debug"):
                traceback.print_exc()
            from otzyv.tasks.extractors.settings import WrongSettings

            error = prefect_server.named(error)
            failure = click.UsageError if isinstance(error, WrongSettings) else click.ClickException
            raise failure(_told(error)) from error


_OURS = "otzyv."
MOST_SAID = 300


def _told(error: Exception) -> str:
    if _worded(error):
        return str(error)
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    said = str(error)
    if type(error).__module__ == "_internal":  # deltalake's go on with their own stack
        said = said.partition("\n")[0][:MOST_SAID]
    return f"{type(error).__name__}: {said}"


def _worded(error: Exception) -> bool:
    """Whether its text is a sentence of this project's, which needs no name of a class before it."""
    plain = type(error) in (LookupError, ValueError, RuntimeError) and _raised_in(error).startswith(_OURS)
    return plain or type(error).__module__.startswith(_OURS)


def _raised_in(error: Exception) -> str:
    """The module whose code raised it."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return modules[-1] if modules else ""


def _finite(ctx: click.Context, param: click.Parameter, number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise click.BadParameter(f"{number} is no amount of money", ctx, param)
    return number


def _lake(ctx: click.Context, param: click.Parameter, uri: str | None) -> str | None:
    from otzyv.tasks.lake.delta.storage import StorageError, check_uri

    try:
        return uri if uri is None else check_uri(uri)
    except StorageError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _lake_or_setting(ctx: click.Context, param: click.Parameter, uri: str | None) -> str | None:
    uri = uri or _settings().lake
    if not uri:
        raise click.UsageError("which lake? give --lake, or set OTZYV_LAKE", ctx)
    return _lake(ctx, param, uri)


lake_option = click.option(
    "--lake", required=True, metavar="URI", callback=_lake, help="Folder or s3://bucket/path of the lake."
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


def _days(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in (("--to", "Last day."), ("--from", "First day."), ("--day", "This day alone.")):
        command = click.option(name, f"{name[2:]}_day".replace("day_day", "day"), type=_Day(), help=text)(command)
    return command


def _extractors(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--profile", help="A named list of extractors: embedded (default) or standard.")(command)
    return click.option(
        "--extractors", metavar="A,B", help="Names of extractors instead of a profile, or all-available."
    )(command)


def _what(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "What changed; only what failed at its last attempt; or all, computed again."
    choice = click.Choice(["stale", "failed", "again"])
    return click.option("--what", type=choice, default="stale", show_default=True, help=text)(command)


@click.group(
    cls=_Group,
    epilog="otzyv run --source infra/demo/reviews --lake demo-lake",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show tracebacks and Prefect's own log.")
@click.version_option(package_name="otzyv")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Reviews of online courses in, checked feature tables in a data lake out."""
    ctx.obj = time.perf_counter()
    prefect_server.configure(debug=debug)


@main.command(
    epilog="otzyv run --source infra/demo/reviews --lake demo-lake\n"
    "otzyv run --source 'incoming/{day}.jsonl' --lake s3://bucket/lake --day 2026-03-01 --profile standard"
)
@source_option
@lake_option
@_days
@_extractors
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
    settings = _settings()
    names = _names(extractors, profile, settings, lake)
    brought = _source(source, settings, source_name, allow_empty, allow_gone)
    _main_job(lake, names, settings, _range(day, from_day, to_day), as_json, source=brought)


@main.command(epilog="otzyv demo")
@click.option("--lake", default="demo-lake", show_default=True, metavar="URI", callback=_lake, help="The demo's lake.")
def demo(lake: str) -> None:
    """Run the main job on the demo reviews that the project ships; nothing is downloaded.

    Run again, it finds that nothing changed and writes nothing.
    """
    from otzyv.tasks.pipeline.ingest import Source

    reviews = Path(__file__).parents[1] / "infra" / "demo" / "reviews"
    if not reviews.is_dir():
        raise click.ClickException(f"no demo reviews at {reviews}: the demo runs in a clone of the project")
    settings = _settings()
    _main_job(lake, _names(None, "embedded", settings, lake), settings, None, False, source=Source(str(reviews)))


@main.command(epilog="otzyv ingest --source infra/demo/reviews --lake demo-lake")
@source_option
@lake_option
@_days
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
    settings = _settings()
    brought = _source(source, settings, source_name, allow_empty, allow_gone)
    _main_job(lake, None, settings, _range(day, from_day, to_day), as_json, source=brought)


@main.command(epilog="otzyv features --lake demo-lake --day 2026-03-01 --extractors sentiment_mini,text_navec")
@lake_option
@_days
@_extractors
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
    settings = _settings()
    names = _names(extractors, profile, settings, lake)
    _main_job(lake, names, settings, _range(day, from_day, to_day), as_json, source=None)


@main.command(epilog="otzyv plan --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@lake_option
@_days
@_extractors
@_what
@json_option
def plan(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    what: Literal["stale", "failed", "again"],
    as_json: bool,
) -> None:
    """Say what making days would cost: rows to compute and why, seconds and money. Nothing is written."""
    from otzyv.flows.console.backfill import show_plan
    from otzyv.tasks.plan import plan as plan_days

    names = _names(extractors, profile, _settings(), lake)
    planned = plan_days.fn(lake, names, _range(day, from_day, to_day), what=what)
    planned.check_days()
    show_plan(planned, as_json=as_json)


@main.command(epilog="otzyv backfill --lake demo-lake --from 2026-03-01 --to 2026-03-31 --dry-run")
@lake_option
@_days
@_extractors
@_what
@click.option("--dry-run", is_flag=True, help="Show the plan and end.")
@click.option("--days-at-once", type=click.IntRange(1, 16), default=1, show_default=True, help="Days side by side.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    callback=_finite,
    help="Money for paid APIs; days that would pass it wait.",
)
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest day instead of the newest.")
@json_option
def backfill(
    lake: str,
    day: date | None,
    from_day: date | None,
    to_day: date | None,
    extractors: str | None,
    profile: str | None,
    what: Literal["stale", "failed", "again"],
    dry_run: bool,
    days_at_once: int,
    budget: float | None,
    oldest_first: bool,
    as_json: bool,
) -> None:
    """Make past days anew, at the cost of what changed; without days, all of the lake's."""
    from otzyv.flows.backfill import Backfill, BackfillIncomplete, ExtractorName
    from otzyv.flows.backfill import backfill as run_backfill
    from otzyv.flows.console import all as console
    from otzyv.flows.console.backfill import show_backfill
    from otzyv.tasks.lake import Lake

    names = _names(extractors, profile, _settings(), lake)
    uri = Lake(lake).uri
    chosen = _range(day, from_day, to_day) or []
    request = Backfill(
        from_day=chosen[0] if chosen else None,
        to_day=chosen[-1] if chosen else None,
        extractors=[ExtractorName(name) for name in names if name in set(ExtractorName)],
        others=[name for name in names if name not in set(ExtractorName)],
        what=what,
        dry_run=dry_run,
        days_at_once=days_at_once,
        budget=budget,
        order="oldest first" if oldest_first else "newest first",
    )
    prefect_server.start()
    failure = None
    with console.progress(quiet=as_json), prefect_server.without_heartbeats():
        try:
            report = run_backfill(uri, request)
        except BackfillIncomplete as error:
            report, failure = error.report, error
    show_backfill(report, as_json=as_json)
    if failure is not None:
        raise failure


@main.command(epilog="otzyv serve --lake demo-lake")
@click.option("--lake", metavar="URI", callback=_lake_or_setting, help="The lake; else the setting's (OTZYV_LAKE).")
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True, help="Of Prefect's pages.")
@click.option("--check", is_flag=True, help="Start, see that the scheduler plans runs, and stop.")
@click.option(
    "--no-login",
    is_flag=True,
    help="Let everyone with an account on this machine start, change and stop runs: for a machine of one's own.",
)
def serve(lake: str, port: int, check: bool, no_login: bool) -> None:
    """Serve the daily run and backfills with Prefect's pages, on this machine alone.

    Starts Prefect's server, unless PREFECT_API_URL points at one, deploys, and works on what is scheduled and started.
    Its pages ask for a login: it is shown once, when it is made, and kept for later starts and for commands beside it.
    """
    from otzyv.flows.serving.serve import serve as start_serving
    from otzyv.tasks.lake import Lake

    uri = Lake(lake).uri
    prefect_server.configure(serving=True)
    start_serving(uri, _settings(), port, lambda line: click.echo(line, err=True), check=check, with_login=not no_login)


@main.command(epilog="otzyv doctor --lake demo-lake --deep")
@lake_option
@click.option("--repair", is_flag=True, help="Repair what can be repaired without loss; damaged files are moved aside.")
@click.option("--deep", is_flag=True, help="Read every file and compare it with its checksum.")
@json_option
def doctor(lake: str, repair: bool, deep: bool, as_json: bool) -> None:
    """Find and mend what a crash or a bad disk can leave in a lake. Exit status 1 where something is left.

    Runs on this lake that Prefect's server (PREFECT_API_URL) takes for running although they are dead count as well.
    """
    from otzyv.flows.console.all import show_findings
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.delta.storage import Storage
    from otzyv.tasks.lake.upkeep.doctor import constants_of, examine
    from otzyv.tasks.pipeline.edition import mixed_days

    findings = list(constants_of(Storage(lake), repair=repair))
    if not all(finding.repaired for finding in findings):
        show_findings(findings, deep=deep, as_json=as_json)
        sys.exit(1)
    opened = Lake(lake)
    findings += [*examine(opened, repair=repair, deep=deep), *mixed_days(opened)]
    try:
        if os.environ.get("PREFECT_API_URL"):
            from otzyv.flows.serving.deployments import FLOWS, WITHIN
            from otzyv.tasks.dead_runs import dead_runs

            prefect_server.start()
            findings += dead_runs(opened.uri, [*FLOWS, *WITHIN], repair=repair)
    finally:  # a server that can't be reached hides nothing of what was found and mended
        show_findings(findings, deep=deep, as_json=as_json)
    if not all(finding.repaired for finding in findings):
        sys.exit(1)


@main.command(
    epilog="otzyv forget --review r-17 --lake demo-lake --dry-run\n"
    "otzyv forget --author 'Иван П.' --lake demo-lake --yes"
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
    from otzyv.flows.console.all import show_forgotten, show_held
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.pipeline.forget import find
    from otzyv.tasks.pipeline.forget import forget as erase

    if (review is None) == (author is None):
        raise click.UsageError("give either --review or --author")
    key = _settings().key(Lake(lake).uri).get_secret_value()
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


@main.command(epilog="otzyv show sentiment_mini --lake demo-lake --day 2026-03-01 --limit 5")
@click.argument("table")
@lake_option
@click.option("--day", type=_Day(), help="One day of it.")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows.")
@json_option
def show(table: str, lake: str, day: date | None, limit: int, as_json: bool) -> None:
    """Print rows of a table; a vector as its dimension, norm and first values."""
    from otzyv.flows.console.all import other_release, show_rows
    from otzyv.tasks.lake import Lake

    opened = Lake(lake)
    known = _known(partial(opened.table, table), "TABLE")
    show_rows(opened, known, day, limit, as_json=as_json)
    if day and (note := other_release(opened, known, day)):
        click.echo(note, err=True)


@main.command(epilog="otzyv schema sentiment_mini")
@click.argument("table", required=False)
@json_option
def schema(table: str | None, as_json: bool) -> None:
    """Print the data dictionary: of one table, or the list of all."""
    from otzyv.flows.console.all import show_schema
    from otzyv.tasks.extractors import get
    from otzyv.tasks.extractors.vector.pca import PCA

    tables = _tables()
    if table and ("@" in table or table.startswith(PCA)):
        tables[table] = _known(partial(get, table), "TABLE").card.table
    show_schema(tables, table, as_json=as_json)


@main.command(epilog="otzyv clean 'Отличный курc!' --explain")
@click.argument("text")
@click.option("--explain", is_flag=True, help="Show what is redacted, and which rule did what.")
@json_option
def clean(text: str, explain: bool, as_json: bool) -> None:
    """Redact a text as an ingest does, and clean it by the rules, two ways: plain and text."""
    from otzyv.flows.console.all import show_cleaning

    show_cleaning(text, _settings().redact.kinds, explain=explain, as_json=as_json)


@main.command(epilog="otzyv fit text_tfidf --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@click.argument("name")
@lake_option
@_days
@json_option
def fit(name: str, lake: str, day: date | None, from_day: date | None, to_day: date | None, as_json: bool) -> None:
    """Let an extractor learn from days of the lake; without days, from all of them.

    What it learned is kept in the lake: in use at once if it is the first, else once it is promoted.
    """
    from otzyv.flows.console.all import show_fit
    from otzyv.flows.fit import fit as learn
    from otzyv.tasks.fit import fitted
    from otzyv.tasks.lake import Lake

    _known(partial(fitted, name), "NAME")
    days = _range(day, from_day, to_day)
    prefect_server.start()
    show_fit(learn(Lake(lake).uri, name, *((days[0], days[-1]) if days else ())), lake, as_json=as_json)


@main.command(epilog="otzyv promote text_tfidf --lake demo-lake --version 1")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Which one; by default the newest.")
@lake_option
@json_option
def promote(name: str, version: int | None, lake: str, as_json: bool) -> None:
    """Put a version of what an extractor learned into use; the next run makes its rows anew."""
    from otzyv.flows.console.all import show_promoted
    from otzyv.tasks.fit import promote as put_in_use

    show_promoted(_known(partial(put_in_use, lake, name, version), "NAME"), as_json=as_json)


@main.command(epilog="otzyv adapt --lake demo-lake --base text_rubert_tiny2 --name text_reviews")
@lake_option
@click.option("--base", required=True, metavar="NAME", help="The encoder of texts to go on from.")
@click.option("--name", help="The new extractor's name; by default the base's with _adapted.")
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True, help="How often it sees each text.")
@_days
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
    from otzyv.flows.console import all as console
    from otzyv.tasks.adapt import adaptable
    from otzyv.tasks.lake import Lake

    _known(partial(adaptable, base), "--base")
    days = _range(day, from_day, to_day)
    prefect_server.start()
    with console.progress(quiet=as_json):
        made = go_on(Lake(lake).uri, base, name, days[0] if days else None, days[-1] if days else None, epochs)
    console.show_adapted(made, lake, as_json=as_json)


@main.group(cls=_Group, epilog="otzyv train sentiment --data ru_goemotions/ --out model.ftz")
def train() -> None:
    """Train what the project ships."""


@train.command(name="sentiment", cls=_Command, epilog="otzyv train sentiment --data ru_goemotions/ --out model.ftz")
@click.option(
    "--data", required=True, multiple=True, type=click.Path(exists=True, path_type=Path), help="ru-goemotions CSVs."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the model is written.")
@json_option
def train_sentiment(data: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Train sentiment_mini's model and print what it scores on held-out comments."""
    from otzyv.flows.console.all import show_training
    from otzyv.flows.train import sentiment

    show_training(sentiment(data, out), as_json=as_json)


@main.group(cls=_Group, invoke_without_command=True, epilog="otzyv models --lake demo-lake")
@click.option(
    "--lake", metavar="URI", callback=_lake, help="Show the contents per second that this lake's runs computed."
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


@models.command(name="pull", cls=_Command, epilog="otzyv models pull image_resnet50")
@click.argument("name", metavar="NAME|PROFILE")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Another folder than the model store.")
@click.option("--yes", is_flag=True, help="Agree to licences that forbid commercial use.")
@unpinned_option
@json_option
def pull(name: str, to: Path | None, yes: bool, allow_unpinned: tuple[str, ...], as_json: bool) -> None:
    """Fetch weights from their source, once; a broken download goes on where it stopped."""
    from otzyv.flows.console import models as store

    cards = _known(lambda: store.chosen(name), "NAME|PROFILE")
    store.pull(cards, to, agreed=yes, unpinned=allow_unpinned, as_json=as_json)


@models.command(name="verify", cls=_Command, epilog="otzyv models verify standard")
@click.argument("name", metavar="[NAME|PROFILE]", required=False)
@json_option
def verify(name: str | None, as_json: bool) -> None:
    """Check the sha256 of the weights that are here: of all, or of those named, which must then be here."""
    from otzyv.flows.console import models as store
    from otzyv.tasks.extractors import get, names

    cards = _known(lambda: store.chosen(name), "NAME|PROFILE") if name else [get(each).card for each in names()]
    if not store.verify(cards, as_json=as_json, all_of_them=name is None):
        sys.exit(1)


@models.command(name="where", cls=_Command, epilog="otzyv models where image_resnet50")
@click.argument("name")
@json_option
def where(name: str, as_json: bool) -> None:
    """Print where the files of an extractor's weights lie or are to lie."""
    from otzyv.flows.console import models as store
    from otzyv.tasks.extractors import get

    store.where(_known(lambda: get(name), "NAME").card, as_json=as_json)


@models.command(name="export", cls=_Command, epilog="otzyv models export standard text_navec --to weights.tar")
@click.argument("names", metavar="NAME|PROFILE...", nargs=-1, required=True)
@click.option("--to", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The archive to write.")
@json_option
def export_models(names: tuple[str, ...], to: Path, as_json: bool) -> None:
    """Put weights into one archive, for a machine without network."""
    from otzyv.flows.console import models as store

    cards = {card.name: card for name in names for card in _known(partial(store.chosen, name), "NAME|PROFILE")}
    store.export(list(cards.values()), to, as_json=as_json)


@models.command(name="import", cls=_Command, epilog="otzyv models import weights.tar")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@unpinned_option
@json_option
def import_models(archive: Path, allow_unpinned: tuple[str, ...], as_json: bool) -> None:
    """Take the weights of an archive into the model store, all of them or none."""
    from otzyv.flows.console import models as store

    store.take_in(archive, unpinned=allow_unpinned, as_json=as_json)


@main.group(cls=_Group, invoke_without_command=True, epilog="otzyv releases --lake demo-lake --day 2026-03-01")
@click.option("--lake", metavar="URI", callback=_lake, help="Folder or s3://bucket/path of the lake.")
@click.option("--day", type=_Day(), help="Of this day alone.")
@json_option
@click.pass_context
def releases(ctx: click.Context, lake: str | None, day: date | None, as_json: bool) -> None:
    """List what readers see of each day, what is held for a person to look at, and what was before."""
    if ctx.invoked_subcommand:
        return
    if lake is None:
        raise click.UsageError("Missing option '--lake'.")
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    flow.show(Lake(lake), day, as_json=as_json)


@releases.command(name="approve", cls=_Command, epilog="otzyv releases approve 2026-03-01 --lake demo-lake")
@click.argument("day", type=_Day())
@lake_option
@json_option
def approve(day: date, lake: str, as_json: bool) -> None:
    """Let readers see the release of a day that is held."""
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    flow.approve(Lake(lake), day, as_json=as_json)


def _refused(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose among the records in quarantine."""
    for option in (
        click.option("--reason", metavar="WORDS", help="Refused for a reason that has these words."),
        click.option("--day", type=_Day(), help="Arrived on this day."),
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


@main.group(cls=_Group, invoke_without_command=True, epilog="otzyv quarantine --lake demo-lake --rule range")
@click.option("--lake", metavar="URI", callback=_lake, help="Folder or s3://bucket/path of the lake.")
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


@quarantine.command(name="show", cls=_Command, epilog="otzyv quarantine show --lake demo-lake --rule range")
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
    show_records(Lake(lake), wanted, _settings(), limit, unredacted=unredacted, as_json=as_json)


@quarantine.command(
    name="replay", cls=_Command, epilog="otzyv quarantine replay --lake demo-lake --mapping rating=stars"
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
    if not replay(Lake(lake), _wanted(rule, source, day, reason), _settings(), files, dict(pairs), as_json=as_json):
        sys.exit(1)


@main.command(epilog="otzyv rollback 2026-03-01 --lake demo-lake")
@click.argument("target", metavar="DAY|RELEASE")
@lake_option
@json_option
def rollback(target: str, lake: str, as_json: bool) -> None:
    """Make an earlier release current: the one before what readers of the day see, or the one named.

    No data is copied. It stays so until the day's tables change.
    """
    from otzyv.flows.console import releases as flow
    from otzyv.tasks.lake import Lake

    try:
        wanted: date | str = date.fromisoformat(target) if "-" in target else target
    except ValueError as error:
        raise click.BadParameter(f"{target!r} is no day; write it as 2026-03-01", param_hint="DAY|RELEASE") from error
    flow.rollback(Lake(lake), wanted, as_json=as_json)


@main.command(epilog="otzyv export --lake demo-lake --tables reviews,sentiment_mini --out features.parquet")
@lake_option
@_days
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
        _known(partial(opened.table, name), "--tables")
    wanted = _range(day, from_day, to_day)
    seen = opened.releases(wanted)
    if left := [each for each in wanted or () if each not in seen]:
        click.echo(f"no release of {spans(left)}", err=True)
    rows = write(opened, sorted(seen), named, out)
    for kind, what in (("text", "words can be read back from them"), ("other", "they tell of people's own files")):
        if vectors := [name for name in named if _vectors(opened.table(name)) == kind]:
            click.echo(f"{', '.join(vectors)}: embeddings are personal data, {what}", err=True)
    if as_json:
        click.echo(json.dumps({"out": out, "rows": rows, "days": sorted(seen), "not_released": left}, default=str))
    else:
        click.echo(f"{out}: {rows} rows of {len(seen)} days")


def _vectors(table: Table) -> str | None:
    """What the vectors of a table are made of, ``text`` or ``other``; None where it has none."""
    if "embedding" not in table.names:
        return None
    from otzyv.tasks.extractors.vector.pca import PCA

    return "text" if table.name.removeprefix(PCA).startswith("text_") else "other"


@main.command(epilog="otzyv maintain --lake demo-lake")
@lake_option
@json_option
def maintain(lake: str, as_json: bool) -> None:
    """Keep a lake small: retire old releases, and remove the files that nothing needs any more.

    What readers see stays, and so do the newest releases of each day and all that is young: the setting maintain says
    how many and how young.
    """
    from dataclasses import asdict

    from otzyv.flows.maintain import maintain as flow
    from otzyv.tasks.lake import Lake

    uri = Lake(lake).uri
    prefect_server.start()
    done = asdict(flow(uri))
    click.echo(
        json.dumps(done) if as_json else ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in done.items())
    )


@main.command(epilog="otzyv quality --lake demo-lake --from 2026-03-01 --to 2026-03-31")
@lake_option
@_days
@json_option
def quality(lake: str, day: date | None, from_day: date | None, to_day: date | None, as_json: bool) -> None:
    """Render the quality page of days from what their runs have recorded; without days, of all of them."""
    from otzyv.flows.quality import quality as flow
    from otzyv.tasks.lake import Lake

    days = _range(day, from_day, to_day)
    uri = Lake(lake).uri
    prefect_server.start()
    page = flow(uri, days[0] if days else None, days[-1] if days else None)
    click.echo(json.dumps({"page": page}) if as_json else f"quality page: {page}")


@main.command(epilog="otzyv explain r001 --lake demo-lake")
@click.argument("review_id")
@lake_option
@click.option("--day", type=_Day(), help="The day it lies in, if it is known.")
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


def _settings() -> Settings:
    from otzyv.flows.settings import load

    return load()


def _source(path: str, settings: Settings, name: str | None, allow_empty: bool, allow_gone: bool) -> Source:
    from otzyv.flows.ingest import chosen
    from otzyv.flows.settings import SOURCE_NAME

    if name is not None and not re.fullmatch(SOURCE_NAME, name):
        raise click.BadParameter(f"{name!r} is no name of letters, digits, - . and _", param_hint="--source-name")
    return chosen(path, settings, name=name, allow_empty=allow_empty, allow_gone=allow_gone)


def _known(look_up: Callable[[], Any], hint: str) -> Any:
    try:
        return look_up()
    except LookupError as error:
        raise click.BadParameter(str(error.args[0]), param_hint=hint) from error


def _names(extractors: str | None, profile: str | None, settings: Settings, lake: str) -> tuple[str, ...]:
    from otzyv.tasks.extractors import get, names
    from otzyv.tasks.pipeline.available import ALL, available

    if extractors is not None and profile is not None:
        raise click.UsageError("give either --extractors or --profile")
    if extractors is None:
        hint = "--profile" if profile is not None else "the setting profile"
        chosen: tuple[str, ...] = _known(lambda: names(settings.profile if profile is None else profile), hint)
        return chosen
    given = [name.strip() for name in extractors.split(",") if name.strip()]
    there = available(lake, given) if ALL in given else None
    for line in there.left_out if there else ():
        click.echo(line, err=True)
    wanted = tuple(dict.fromkeys(name for one in given for name in (there.names if there and one == ALL else [one])))
    if not wanted:
        raise click.BadParameter(f"name at least one of: {', '.join(names())}", param_hint="--extractors")
    for name in wanted:
        _known(partial(get, name), "--extractors")
    return wanted


def _range(day: date | None, from_day: date | None, to_day: date | None) -> list[date] | None:
    if day and (from_day or to_day):
        raise click.UsageError("give either --day, or --from and --to")
    if day:
        return [day]
    if not from_day and not to_day:
        return None
    if not from_day or not to_day:
        raise click.UsageError("--from and --to go together")
    from otzyv.flows.days import between

    try:
        return between(from_day, to_day)
    except ValueError as error:
        raise click.UsageError(f"--from and --to: {error}") from error


def _tables() -> dict[str, Any]:
    from otzyv.schemas.tables import TABLES
    from otzyv.tasks.extractors import get, names

    return {**TABLES, **{name: get(name).card.table for name in names()}}


def _main_job(
    lake: str,
    names: Sequence[str] | None,
    settings: Settings,
    days: list[date] | None,
    as_json: bool,
    *,
    source: Source | None,
) -> None:
    from otzyv.flows.console import all as console
    from otzyv.flows.run import run as main_job

    imports = time.perf_counter() - click.get_current_context().find_root().obj
    with console.progress(quiet=as_json):
        report = main_job(
            lake,
            names,
            source=source,
            days=days,
            constants=settings.constants,
            author_key=settings.key(lake) if source else None,
        )
    if as_json:
        click.echo(json.dumps(console.as_object(report), ensure_ascii=False, default=str))
    else:
        console.show_report(report, imports)
    for line in console.notes(report):
        click.echo(line, err=True)
    if report.failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
