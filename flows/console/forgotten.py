"""What a lake holds of somebody, and what was erased. Names nobody."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from otzyv.flows.console.screen import days_in_words

if TYPE_CHECKING:
    from otzyv.tasks.pipeline.forget import Forgotten, Found


def show_held(found: Found, *, as_json: bool) -> None:
    """What a lake holds of somebody and would lose. Names nobody."""
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, default=str))
        return
    if not found.known:
        click.echo("The lake has never held anything of theirs; check the spelling.")
    elif not found.files:
        click.echo("The lake holds nothing of theirs any more.")
    else:
        days = days_in_words(found.days) if found.days else "no day"
        click.echo(f"{found.reviews} reviews of {days}, in {found.files} data files of all versions.")
        for table, count in found.rows.items():
            click.echo(f"  {table}: {count} rows")
        click.echo(f"  releases to be replaced: {found.releases}")
    for count, what in (
        (found.blobs, "attached files that nobody else has, or that no row names"),
        (found.loose, "staged chunks, temporary files, answers and quality pages"),
        (found.aside, "damaged files set aside"),
    ):
        if count:
            click.echo(f"  {what}: {count}")


def show_forgotten(done: Forgotten, lake: str, *, as_json: bool) -> None:
    """What was erased, and what a person should do about fits that learned from it. Names nobody."""
    if as_json:
        click.echo(json.dumps(asdict(done), ensure_ascii=False, default=str))
        return
    if done.ingesting:
        click.echo("An ingest goes on, so no attached file was removed; run this again after it.", err=True)
    if done.aside:
        click.echo(f"{done.aside} damaged files set aside, which may have held theirs and others', were emptied.")
    if not done.known:
        click.echo(
            "The lake has never held anything of theirs, and nothing was noted: check the spelling, or say --bar to "
            "keep their records out",
            err=True,
        )
    elif not done.tables:
        click.echo("The lake holds nothing of theirs." + (" No record of theirs will come in." if done.new else ""))
    if not done.tables:
        if done.blobs:
            click.echo(f"{done.blobs} attached files that no row named were erased.")
        return
    days = days_in_words(done.days) if done.days else "no day"
    click.echo(f"{done.reviews} reviews of {days} are gone from {', '.join(done.tables)}; {done.blobs} attached files.")
    click.echo(f"{done.releases} releases were retired; readers see the same days without them.")
    for fit in done.stale:
        click.echo(f"{fit} may have learned from them; next: otzyv fit {fit.partition(' ')[0]} --lake {lake}")
    for name in done.adapted:
        click.echo(f"{name} in the model store may have learned from them; next: remove it, and adapt its base again")
