"""A text before and after cleaning."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen

if TYPE_CHECKING:
    pass


def show_cleaning(text: str, kinds: Collection[str], *, explain: bool, as_json: bool) -> None:
    """A text redacted and cleaned both ways; which kind of personal data was where, and which rule did what."""
    from otzyv.tasks.text.clean import clean
    from otzyv.tasks.text.clean import explain as steps
    from otzyv.tasks.text.redact import KINDS, redact, redactions

    redacted = redact(text, kinds)
    cleaned = clean(redacted)
    gone, acted = (redactions(text, kinds), steps(redacted)) if explain else ([], [])
    if as_json:
        said: dict[str, object] = {"plain": cleaned.plain, "text": cleaned.text}
        if explain:
            said["kinds"] = [
                {"kind": kind.name, "mark": kind.mark, "on": kind.name in kinds, "doc": kind.doc} for kind in KINDS
            ]
            said["redacted"] = [asdict(one) for one in gone]
            said["steps"] = [asdict(step) for step in acted]
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    if explain:
        grid = Grid("redacted", "mark", "on", "what")
        for kind in KINDS:
            grid.add_row(kind.name, kind.mark, "yes" if kind.name in kinds else "no", kind.doc)
        screen().print(grid)
    for one in gone:
        click.echo(f"{one.kind}: {text[one.start : one.end]!r} → {one.mark!r} (characters {one.start} to {one.end})")
    for step in acted:
        click.echo(f"{step.rule}: {step.before!r} → {step.after!r}")
    click.echo(f"text:  {cleaned.text}")
    click.echo(f"plain: {cleaned.plain}")
