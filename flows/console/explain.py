"""What ``otzyv explain`` shows: where each feature and attached file comes from, never what they or the review say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

import click

from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.releases import SHOWN
from otzyv.tasks.pipeline.explain import AttachedFile, Explained, Feature
from otzyv.tasks.pipeline.explain import explain as explained


def explain(lake: Lake, review_id: str, day: date | None, *, recompute: bool, as_json: bool) -> bool:
    """Print it; whether nothing came out beyond its card's tolerance."""
    said = explained(lake, review_id, day, recompute=recompute)
    if as_json:
        click.echo(json.dumps(asdict(said), ensure_ascii=False, default=str))
    else:
        for line in _lines(said):
            click.echo(line)
    return all(feature.recomputed is None or feature.recomputed.outcome != "beyond" for feature in said.features)


def _lines(said: Explained) -> Iterator[str]:
    made = f"{said.released_at:%Y-%m-%d %H:%M}"
    yield f"{said.review_id}, {said.day}, release {said.release_id[:SHOWN]} ({said.verdict} {made})"
    for file in said.attachments:
        yield f"\nattachments [{file.position}]: {_status(file.status, file.reason)}"
        yield from (f"  {name:<12} {told}" for name, told in _of_file(file))
    for table, error in said.failed.items():
        yield f"\n{table}: failed ({error}); readers see what was there before"
    for feature in said.features:
        place = "" if feature.position is None else f" [{feature.position}]"
        yield f"\n{feature.table}{place}: {_status(feature.status, feature.why)}"
        for name, told in _facts(feature):
            yield f"  {name:<12} {told}"


def _status(status: str, why: str | None) -> str:
    return f"{status} ({why})" if why else status


def _of_file(file: AttachedFile) -> Iterator[tuple[str, str]]:
    if file.uri is not None:
        yield "as written", file.uri
    size = "" if file.bytes is None else f", {file.bytes:,} bytes"
    yield "kind", f"{file.kind}, {file.media_type or 'type not known'}{size}"
    yield "content", file.content_sha256 or "none"


def _facts(feature: Feature) -> Iterator[tuple[str, str]]:
    yield "content", feature.content_sha256 or "none"
    made = feature.made_of or {}
    yield "fingerprint", feature.fingerprint
    if made:
        yield "code", f"version {made['version']}, {made['backend']} {made['precision']}"
        for file, sha256 in made["weights"] or ():
            yield "weights", f"{file} {sha256}"
    version = "no longer in the log" if feature.table_version is None else str(feature.table_version)
    yield "table", f"version {version}, run key {feature.run_key}"
    if feature.run:
        yield (
            "run",
            f"{feature.run['run_id']} {feature.run['started_at']:%Y-%m-%d %H:%M} ({feature.run['seconds']:.1f} s)",
        )
    yield "checks", feature.failed or f"{len(feature.checks)} passed: {', '.join(feature.checks)}"
    if again := feature.recomputed:
        figures = "" if again.difference is None else f", {again.difference:.3g} of at most {again.tolerance:g}"
        yield "again", f"{again.outcome}{figures}{f' ({again.why})' if again.why else ''}"
