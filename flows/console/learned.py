"""What learned, from what, and whether it is in use."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen

if TYPE_CHECKING:
    from otzyv.tasks.adapt import Adapted
    from otzyv.tasks.fit import Fitted
    from otzyv.tasks.lake.features.artefacts import Model
    from otzyv.tasks.training.sentiment import Report


def show_training(report: Report, *, as_json: bool) -> None:
    """What was tried, what was chosen, and what it scores on comments it never saw."""
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False, default=str))
        return
    grid = Grid("tried", "macro-F1", "bytes")
    for trial in report.tried:
        grid.add_row(str(trial.settings), f"{trial.scores.macro_f1:.3f}", f"{trial.bytes:,}")
    screen().print(grid)
    click.echo(f"chosen: {report.settings}")
    click.echo(f"held out: macro-F1 {report.held_out.macro_f1:.3f}; by label {report.held_out.f1}")
    click.echo(f"{report.model} ({report.bytes:,} bytes, sha256 {report.sha256}), card {report.card}")


def show_fit(fitted: Fitted, lake: str, *, as_json: bool) -> None:
    """What was learned, from what, and whether it is in use."""
    model = fitted.model
    if as_json:
        said = {**asdict(model), "new": fitted.new, "seconds": fitted.seconds}
        click.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    click.echo(f"{model.name} version {model.version}, {model.state}, sha256 {model.sha256}")
    click.echo(learned(model))
    if not fitted.new:
        click.echo("These bytes were learned before: nothing changed.")
    if model.state == "candidate":
        click.echo(f"next: otzyv promote {model.name} --version {model.version} --lake {lake}")
    else:
        click.echo(f"next: otzyv features --lake {lake} --extractors {model.name}")


def learned(model: Model) -> str:
    """What a version was learned from, and what only then can be told: a vocabulary's size, explained variance."""
    on = model.fitted_on
    known = ("table", "table_version", "from", "to", "days", "rows", "most_contents", "version", "settings")
    facts = ", ".join(f"{name} {value}" for name, value in on.items() if name not in known)
    return f"learned from {on['rows']:,} rows of {on['table']}, {on['from']} to {on['to']}: {facts}"


def show_promoted(model: Model, *, as_json: bool) -> None:
    """Which version is in use now."""
    if as_json:
        click.echo(json.dumps(asdict(model), ensure_ascii=False, default=str))
        return
    click.echo(f"{model.name} version {model.version} is in use; the next run recomputes its rows where they differ.")


def show_adapted(made: Adapted, lake: str, *, as_json: bool) -> None:
    """What training on the lake's reviews brought, where the model lies and how it is used."""
    curve = made.curve
    if as_json:
        said = {**asdict(made), "plot": made.plot, "before": curve.before, "after": curve.after}
        click.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    if not made.new:
        click.echo("It was made of the same before: nothing changed.")
    click.echo(
        f"perplexity of {curve.held_out:,} held-out texts: {curve.before:.2f} before, {curve.after:.2f} after learning "
        f"from {curve.trained:,}" + ("; the base had no layer that guesses, so one was initialised" * curve.new_head)
    )
    click.echo(f"{made.folder}, plot {made.plot}")
    click.echo(f"next: otzyv features --lake {lake} --extractors {made.name}")
