"""What ``otzyv releases`` shows and does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import click
from rich import box
from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.releases import SHOWN, Release


def show(lake: Lake, day: date | None, *, as_json: bool) -> None:
    """The releases of all days or of one, the newest first within a day.

    ``current``: readers see it; ``held``: a person must look first; ``superseded``: readers saw it before, or it was
    held when another came.
    """
    known = lake.history([day] if day else None)
    rows = [row for each in known.values() for row in _rows(each)]
    if as_json:
        click.echo(json.dumps([_object(state, release) for state, release in rows], default=str))
        return
    heads = (Column(name, no_wrap=True) for name in ("day", "release", "state", "by", "made"))
    grid = Grid(*heads, "why", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for state, release in rows:
        made = f"{release.created_at:%Y-%m-%d %H:%M}"
        grid.add_row(str(release.day), release.release_id[:SHOWN], state, said(release), made, _why(release))
    screen().print(grid)


def approve(lake: Lake, day: date, *, as_json: bool) -> None:
    _tell(lake, releases.approve(lake.storage, day), as_json=as_json)


def rollback(lake: Lake, target: date | str, *, as_json: bool) -> None:
    _tell(lake, releases.rollback(lake.storage, target), as_json=as_json)


def said(release: Release) -> str:
    """Who made it what it is."""
    return {"released": "run", "held": "run", "approved": "approved", "rolled back": "rolled back"}[release.verdict]


def _rows(known: Sequence[Release]) -> Iterator[tuple[str, Release]]:
    current = releases.current(known)
    for release in reversed(known):
        waits = release is known[-1] and not release.visible
        yield "current" if release is current else "held" if waits else "superseded", release


def _why(release: Release) -> str:
    if release.verdict == "rolled back":
        return f"to {(release.reason or '')[:SHOWN]}"
    return release.reason or ""


def _object(state: str, release: Release) -> dict[str, Any]:
    return {"state": state, **asdict(release)}


def _tell(lake: Lake, made: Release, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_object("current", made), default=str))
        return
    click.echo(
        f"readers of {made.day} now see release {made.release_id[:SHOWN]} in {lake.uri} ({_why(made) or 'approved'})"
    )
