"""What people see: progress, tables of a run, rows of a table."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid

from otzyv.schemas.table import Table

if TYPE_CHECKING:
    from otzyv.flows.run import RunReport
    from otzyv.tasks.adapt import Adapted
    from otzyv.tasks.fit import Fitted
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.features.artefacts import Model
    from otzyv.tasks.lake.upkeep.doctor import Finding
    from otzyv.tasks.pipeline.forget import Forgotten, Found
    from otzyv.tasks.pipeline.ingest import Accounting
    from otzyv.tasks.training.sentiment import Report


MOST_HELD = 10
"""Of how many days that are held the reasons are told."""
WIDE = 1000
"""Characters of a line where nobody's screen limits it."""


def screen() -> Console:
    """Standard output for tables of plain text: as wide as the terminal; in a pipe or a file nothing is cut."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def fits(grid: Grid, console: Console) -> bool:
    """Whether a table is shown whole, no cell of it broken."""
    return console.measure(grid, options=console.options.update(width=WIDE)).maximum <= console.width


@contextmanager
def progress(*, quiet: bool) -> Iterator[None]:
    """Progress bars on standard error, one for each table and span of days that has something to compute."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from otzyv.tasks.pipeline.progress import listening

    if quiet:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[tuple[str, tuple[date, ...]], Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def listen(table: str, days: Sequence[date], done: int, total: int) -> None:
            key = (table, tuple(days))
            if key not in bars:
                bars[key] = shown.add_task(f"{table} {_days(days)}", total=total)
            shown.update(bars[key], completed=done)

        with listening(listen):
            yield


def as_object(report: RunReport) -> dict[str, Any]:
    """A run as the JSON object that ``--json`` prints: these keys and no others.

    ``gone`` is there of a snapshot alone, ``refused`` where records were refused: why, how many, and where one lies.
    """
    tables: dict[str, dict[str, Any]] = {}
    for day in report.days:
        for run in day.tables:
            table = tables.setdefault(run.table, {"rows": 0, "computed": 0, "reused": 0, "status": {}, "seconds": 0.0})
            for figure in ("rows", "computed", "reused", "seconds"):
                table[figure] += getattr(run, figure)
            for status, count in run.status.items():
                table["status"][status] = table["status"].get(status, 0) + count
    counted = asdict(report.accounting) if report.accounting else {}
    found = counted.pop("days", ())
    return {
        **{
            name: counted.get(name, 0)
            for name in ("records_in", "accepted", "quarantined", "deduplicated", "suppressed")
        },
        **({"gone": counted["gone"]} if counted.get("gone") is not None else {}),
        **({"refused": counted["reasons"]} if counted.get("reasons") else {}),
        "tables": tables,
        "days": [day.day for day in report.days] or list(found),
    }


def notes(report: RunReport) -> Iterator[str]:
    """What a person should know beside the figures: no record accepted, edits that do not say when they were made,
    days without reviews or features, failures, days held.
    """
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.releases import waiting

    if report.accounting:
        yield from _all_refused(report.lake, report.accounting)
        yield from _undecided(report.accounting)
        yield from report.accounting.notes
        yield from _left_open(report.accounting)
    if report.empty:
        there = f"the lake has {_days(report.known)}" if report.known else "the lake has no reviews yet"
        yield f"no reviews on {_days(report.empty)}: nothing was made for them; {there}"
    elif report.accounting is None and not report.days:
        yield "the lake has no reviews yet; `otzyv ingest` brings them in"
    if report.waiting:
        yield (
            f"other days of the source that came in and may wait for their features: {report.waiting}; "
            f"{_otzyv()} features --lake {report.lake} makes what they lack"
        )
    for line in report.failed:
        yield f"failed: {line}"
    if superseded := [day.day for day in report.days if day.verdict == "superseded"]:
        yield (
            f"superseded: {_days(superseded)}: an ingest changed the reviews while tables were made of them, or ended "
            f"half-way. Readers keep what they had; {_otzyv()} features --lake {report.lake} makes the days again"
        )
    held = [day.day for day in report.days if day.verdict == "held"]
    yield from held_notes(report.lake, waiting(Lake(report.lake).history(held)) if held else {})


def _all_refused(lake: str, accounting: Accounting) -> Iterator[str]:
    from otzyv.tasks.sources import remedy

    if not accounting.quarantined or accounting.accepted or accounting.deduplicated:
        return
    first = accounting.reasons[0]
    yield (
        f"no record was accepted: {accounting.quarantined} of {accounting.records_in} were refused, "
        f"{first.count} of them because {first.reason}; {remedy(first.reason)}"
    )
    yield f"next: {_otzyv()} quarantine --lake {lake}"


def _left_open(accounting: Accounting) -> Iterator[str]:
    """What a snapshot lacks and the lake keeps."""
    if count := accounting.absent:
        why = "not all of it could be taken" if accounting.failures else "records without an id that can be read were"
        yield (
            f"{count} {'review' if count == 1 else 'reviews'} of the lake {'was' if count == 1 else 'were'} not in the "
            f"source and {'stays' if count == 1 else 'stay'}: {why}" + ("" if accounting.failures else " refused")
        )
    if count := accounting.files_kept:
        yield f"{count} attached {'file' if count == 1 else 'files'} that the source lacks now stay as they were"
    if count := accounting.files_lost:
        yield (
            f"{count} attached {'file' if count == 1 else 'files'} of changed reviews can't be read now and "
            f"{'is' if count == 1 else 'are'} gone: a URL is kept without its query, so nobody can tell whether it is "
            "the same file. Allow the host (attachment_hosts) and run again"
        )


def _undecided(accounting: Accounting) -> Iterator[str]:
    if count := accounting.undecided:
        yield (
            f"of {count} {'review' if count == 1 else 'reviews'} there are two states and no updated_at says which is "
            "the newer, so one is kept that need not be it: give records updated_at, or, where a source holds all "
            "reviews as they are now, set OTZYV_SOURCE_MODE=snapshot"
        )


def held_notes(lake: str, held: Mapping[date, str]) -> Iterator[str]:
    """Days that wait for a person, why, and what lets readers see them."""
    for day in sorted(held)[:MOST_HELD]:
        yield (
            f"held: {day}: {held[day]}. Readers keep what they had; if all is well: "
            f"{_otzyv()} releases approve {day} --lake {lake}"
        )
    if len(held) > MOST_HELD:
        yield f"{len(held) - MOST_HELD} more days are held: {_otzyv()} releases --lake {lake}"


def _days(days: Sequence[date]) -> str:
    return f"{days[0]} to {days[-1]} ({len(days)} days)" if len(days) > 2 else " and ".join(map(str, days))


def show_report(report: RunReport, imports: float) -> None:
    """The table a run ends with, where its results lie, and what to try next. ``imports``: seconds they took."""
    from otzyv.tasks.lake.delta.storage import Storage

    console = screen()
    said = as_object(report)
    if report.accounting:
        console.print(
            f"{said['records_in']} records in = {said['accepted']} accepted + {said['quarantined']} quarantined "
            f"+ {said['deduplicated']} deduplicated + {said['suppressed']} suppressed"
        )
        for each in report.accounting.reasons:
            console.print(f"{each.count} refused: {each.reason}, as in {each.example}", soft_wrap=True)
        if gone := report.accounting.gone:
            console.print(
                f"{gone} {'review is' if gone == 1 else 'reviews are'} gone from the source, and from the lake"
            )
    if report.days:
        console.print(_grid(report, said["tables"]))
    if report.accounting and not report.changed:
        console.print("Nothing changed: nothing was computed, nothing was written.")
        if said["quarantined"]:
            console.print(f"The {said['quarantined']} refused records were in quarantine before.")
    console.print(
        f"imports {imports:.1f} s, start of Prefect's server {report.server_seconds:.1f} s, work {report.seconds:.1f} s"
    )
    console.print(f"lake: {Storage(report.lake).uri}", soft_wrap=True)
    if report.page:
        console.print(f"quality page: {report.page}", soft_wrap=True)
    if made := [day for day in report.days if day.tables]:
        shown = [run.table for run in made[-1].tables][:2][-1]  # clean_text comes first
        console.print(f"next: {_otzyv()} show {shown} --lake {report.lake} --limit 5", soft_wrap=True)
        if said["quarantined"] or any(run.invalid for day in made for run in day.tables):
            console.print(f"      {_otzyv()} quarantine --lake {report.lake}", soft_wrap=True)


def _grid(report: RunReport, tables: Mapping[str, Mapping[str, Any]]) -> Grid:
    """A row for each of the lake's tables that the run read into or made."""
    from rich import box

    figures = ("rows", "computed", "reused", "quarantined", "seconds")
    grid = Grid(Column("table", no_wrap=True), *(Column(name, justify="right") for name in figures), "not ok",
                box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fmt: skip
    money = {name: sum(r.money for day in report.days for r in day.tables if r.table == name) for name in tables}
    if any(money.values()):
        grid.add_column("money", justify="right")
    if report.accounting:
        for row in _ingested(report, report.accounting):
            grid.add_row(*row)
    for name, table in tables.items():
        invalid = sum(run.invalid for day in report.days for run in day.tables if run.table == name)
        counts = [str(count) for count in (table["rows"], table["computed"], table["reused"], invalid)]
        cost = [f"{money[name]:.6g}"] if money[name] else []
        grid.add_row(name, *counts, f"{table['seconds']:.1f}", _not_ok(table["status"]), *cost)
    return grid


def _ingested(report: RunReport, accounting: Accounting) -> Iterator[tuple[str, ...]]:
    """``reviews`` and ``attachments``: their rows in the run's days. What is accepted counts as computed."""
    from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.delta.snapshot import read_table

    lake = Lake(report.lake)
    days = {day.day for day in report.days if day.tables}
    rows = sum(file.rows for file in lake.snapshot(REVIEWS).files if file.day in days)
    accepted = sum(accounting.accepted_on.get(day, 0) for day in days)
    counts = (rows, accepted, rows - accepted, accounting.quarantined)
    yield "reviews", *map(str, counts), f"{accounting.seconds:.1f}", ""
    files = [file for file in lake.snapshot(ATTACHMENTS).files if file.day in days]
    attached = read_table(lake.storage, ATTACHMENTS, files, ["status", "reason"])
    ended = Counter(zip(attached["status"].to_pylist(), attached["reason"].to_pylist(), strict=True))
    status = {f"{status} ({why})" if why else status: count for (status, why), count in ended.items()}
    yield "attachments", str(ended.total()), "", "", "", "", _not_ok(status)


def _not_ok(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok")


def _otzyv() -> str:
    """The command as this shell finds it: by its path where ``.venv`` is not active."""
    called = sys.argv[0]
    return called if Path(called).name == "otzyv" and not shutil.which("otzyv") else "otzyv"


def show_rows(lake: Lake, table: Table, day: date | None, limit: int, *, as_json: bool) -> None:
    """Rows as a person wants to read them: a table where it fits the width, else each row as lines of its own."""
    rows = lake.head(table, day, limit)
    if as_json:
        click.echo(json.dumps(rows.to_pylist(), ensure_ascii=False, default=_plain))
        return
    shown = [name for name in rows.column_names if name not in ("fingerprint", "run_key")]
    title = f"{table.name}: {rows.num_rows} rows shown"
    console = Console(markup=False, emoji=False)
    cells = [{name: _cell(row[name]) for name in shown} for row in rows.to_pylist()]
    grid = Grid(*shown, title=title)
    for row in cells:
        grid.add_row(*row.values())
    if fits(grid, console):
        console.print(grid)
        return
    click.echo(title)
    longest = max(map(len, shown))
    for row in cells:
        click.echo("\n" + "\n".join(f"{name + ':':<{longest + 1}} {cell}" for name, cell in row.items()))


def other_release(lake: Lake, table: Table, day: date) -> str | None:
    """What to say where readers of a day see a table otherwise than its newest publication is, or not at all."""
    from otzyv.tasks.lake.releases import SHOWN

    files = lake.snapshot(table).of(day)
    if "review_id" not in table.keys or not files:
        return None
    release = lake.releases([day]).get(day)
    if release is None:
        return f"the newest publication; readers see no release of {day}"
    seen = release.by_name.get(table.name)
    if seen and {*seen.files} == {file.path for file in files}:
        return None
    without = "" if seen else f", which is without {table.name}"
    return f"the newest publication; readers see release {release.release_id[:SHOWN]} of {day}{without}"


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that a terminal would obey."""


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], float):
        first = " ".join(f"{x:.3f}" for x in value[:3])
        return f"{len(value)}-d, norm {np.linalg.norm(value):.3f}: {first} …"
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))
    return text if len(text) <= 60 else f"{text[:57]}…"


def show_schema(tables: Mapping[str, Table], name: str | None, *, as_json: bool) -> None:
    """The data dictionary of one table, or all tables with what a row is."""
    from otzyv.schemas import dictionary

    if name is not None and name not in tables:
        raise click.BadParameter(f"no table {name!r}; there are: {', '.join(tables)}", param_hint="TABLE")
    if as_json:
        chosen = tables.values() if name is None else [tables[name]]
        click.echo(json.dumps([dictionary.as_json(table) for table in chosen], ensure_ascii=False))
    elif name is not None:
        click.echo(dictionary.as_text(tables[name]))
    else:
        grid = Grid("table", "a row is", "keys")
        for table in tables.values():
            grid.add_row(table.name, table.row, ", ".join(table.keys))
        screen().print(grid)


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
        days = _days(found.days) if found.days else "no day"
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
    days = _days(done.days) if done.days else "no day"
    click.echo(f"{done.reviews} reviews of {days} are gone from {', '.join(done.tables)}; {done.blobs} attached files.")
    click.echo(f"{done.releases} releases were retired; readers see the same days without them.")
    for fit in done.stale:
        click.echo(f"{fit} may have learned from them; next: otzyv fit {fit.partition(' ')[0]} --lake {lake}")
    for name in done.adapted:
        click.echo(f"{name} in the model store may have learned from them; next: remove it, and adapt its base again")


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
