"""What ``otzyv status`` shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime

import click
from rich import box
from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.console.report import held_notes
from otzyv.flows.console.screen import screen
from otzyv.flows.server.prefect_server import shown
from otzyv.flows.server.serving_now import ServingNow
from otzyv.tasks.pipeline.overview import Overview
from otzyv.tasks.pipeline.spans import spans

GIB = 1 << 30
MOST_SAID = 60
"""Letters of an error in the table; `otzyv explain` tells all of it."""


def show_status(lake: Overview, serving: ServingNow, alerts: Mapping[str, int], *, as_json: bool) -> None:
    """The lake's last days as a table, then a line for each thing to know. ``alerts``: how many are open, by kind."""
    if as_json:
        held = [{"day": day, "reason": reason} for day, reason in sorted(lake.held.items())]
        told = {
            **asdict(lake),
            "held": held,
            "alerts": alerts,
            "prefect": asdict(serving) | {"url": serving.url and shown(serving.url)},
        }
        click.echo(json.dumps(told, ensure_ascii=False, default=str))
        return
    click.echo(f"{lake.lake}: {_count(lake.days, 'day')}, in the zone {lake.timezone}")
    if lake.last:
        heads = ("day", "readers", Column("reviews", justify="right"), "made", "to do")
        grid = Grid(*heads, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for day in lake.last:
            made = f"{day.made_at:%Y-%m-%d %H:%M}" if day.made_at else ""
            todo = [f"{table} failed: {_brief(error)}" for table, error in day.failed.items()]
            todo += ["reviews changed since"] if day.to_make and day.made_at else []
            todo += ["not made yet"] if day.to_make and not day.made_at else []
            grid.add_row(str(day.day), day.seen, f"{day.reviews:,}", made, "; ".join(todo))
        screen().print(grid)
    for line in _lines(lake, serving):
        click.echo(line)
    if alerts:
        counted = ", ".join(f"{count} {kind}" for kind, count in alerts.items())
        click.echo(f"open alerts: {counted}; `otzyv alerts --lake {lake.lake}` lists them")


def _lines(lake: Overview, serving: ServingNow) -> Iterator[str]:
    yield from held_notes(lake.lake, lake.held)
    if lake.to_make:
        yield f"to be made: {spans(lake.to_make)}; `otzyv plan --lake {lake.lake}` says what that costs"
    if lake.disk:
        yield f"disk: {lake.disk.free / GIB:,.1f} of {lake.disk.total / GIB:,.1f} GiB are free"
    where = shown(serving.url) if serving.url else ""
    if serving.unknown:
        yield f"Prefect: {where}{': ' if where else ''}{serving.unknown}"
        return
    if not serving.served:
        yield f"Prefect: {where} does not know this lake; `otzyv serve --lake {lake.lake}` serves it"
    else:
        yield f"Prefect: {where}, {'; '.join(serving.wrong) or 'its server, workers and daily runs are well'}"
        yield f"last good daily run: {_time(serving.last_success)}"
        yield f"next daily run: {'switched off in Prefect' if serving.paused else _time(serving.next_run)}"
    top = [run for run in serving.runs if not run.within]
    for run in top:
        yield f"{run.state.lower()}: {run.name}{f', since {_time(run.since)}' if run.since else ''}"
    if not top:
        yield "nothing runs"


def _brief(error: str | None) -> str:
    told = error or ""
    return told if len(told) <= MOST_SAID else f"{told[:MOST_SAID]} …"


def _time(told: str | None) -> str:
    return f"{datetime.fromisoformat(told):%Y-%m-%d %H:%M %Z}" if told else "none"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
