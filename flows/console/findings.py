"""What the doctor found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from otzyv.tasks.lake.upkeep.doctor import Finding


def show_findings(findings: Sequence[Finding], *, deep: bool, as_json: bool) -> None:
    """What was found and where, what was done, and what a person should run. ``deep``: every byte was read."""
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
        return
    for finding in findings:
        click.echo(f"{finding.what}: {finding.where}")
        if finding.done:
            click.echo(f"  done: {finding.done}")
        if finding.todo:
            click.echo(f"  next: {finding.todo}")
    left = sum(not finding.repaired for finding in findings)
    if findings:
        click.echo(f"{len(findings) - left} repaired, {left} left.")
    else:
        click.echo("Nothing is wrong." if deep else "Nothing is wrong by names and sizes; --deep reads every byte.")
