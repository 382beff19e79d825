"""The ``otzyv`` command. A command's module is imported when it is asked for, its heavy parts when it works."""

from __future__ import annotations

import importlib
import signal
import threading
import time
from collections.abc import Mapping

import click

from otzyv.flows.command.base import Group
from otzyv.flows.server import prefect_server

SECTIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Make features": {
        "demo": ("work", "Run everything on the reviews that come with otzyv."),
        "run": ("work", "Bring reviews in and make the features of their days."),
        "ingest": ("work", "Bring reviews in, without making features."),
        "features": ("work", "Make the features of days that are in the lake."),
        "plan": ("backfill", "Say what making days would cost. Nothing is written."),
        "backfill": ("backfill", "Make past days again, at the cost of what changed."),
        "serve": ("serve", "Serve the daily run, backfills and Prefect's pages."),
    },
    "Read": {
        "show": ("read", "Print rows of a table."),
        "export": ("read", "Write released rows into one file."),
        "releases": ("releases", "List what readers see of each day; let held days through."),
        "rollback": ("releases", "Show readers an earlier release again."),
        "explain": ("read", "Tell how each feature of a review came about."),
        "schema": ("read", "Print what tables and columns mean."),
        "clean": ("read", "Show what redaction and cleaning make of a text."),
    },
    "Quality": {
        "quality": ("upkeep", "Render the quality page of days."),
        "quarantine": ("quarantine", "List refused records and why; take them in again."),
    },
    "Look after a lake": {
        "status": ("status", "Tell at one look how a lake stands and what runs."),
        "doctor": ("upkeep", "Find and repair what a crash or a bad disk left."),
        "maintain": ("upkeep", "Retire old releases; remove files that nothing needs."),
        "alerts": ("alerts", "List what is wrong now; try whether alerts arrive."),
        "forget": ("forget", "Erase a review or a person everywhere."),
    },
    "Settings": {
        "init": ("settings", "Write a settings file in which every setting is explained."),
        "settings": ("settings", "Show every setting, its value and where it comes from."),
    },
    "Models": {
        "models": ("models", "List the extractors; fetch, check and move their weights."),
        "fit": ("learn", "Let an extractor learn from days of the lake."),
        "promote": ("learn", "Put a version of what was learned into use."),
        "adapt": ("learn", "Train a BERT further on the lake's reviews."),
        "train": ("learn", "Train the models that otzyv ships."),
    },
}
"""Each command's module in this folder and what it does, in the order that help lists them."""
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class _Main(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f"otzyv.flows.command.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections, without importing any command."""
        for section, entries in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, said) for name, (_, said) in entries.items()])


@click.group(
    cls=_Main,
    epilog="otzyv run --source infra/demo/reviews --lake demo-lake",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show tracebacks and Prefect's own log.")
@click.version_option(package_name="otzyv")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Reviews of online courses in, checked feature tables in a data lake out."""
    ctx.obj = time.perf_counter()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: flows say so, and their server ends
    prefect_server.configure(debug=debug)
