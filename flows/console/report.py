"""What a run ends with: its table, its JSON object, and what a person should know beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.console.screen import days_in_words, otzyv_command, screen

if TYPE_CHECKING:
    from otzyv.flows.run import RunReport
    from otzyv.tasks.pipeline.ingest import Accounting


MOST_HELD = 10
"""Of how many days that are held the reasons are told."""


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
        there = f"the lake has {days_in_words(report.known)}" if report.known else "the lake has no reviews yet"
        yield f"no reviews on {days_in_words(report.empty)}: nothing was made for them; {there}"
    elif report.accounting is None and not report.days:
        yield "the lake has no reviews yet; `otzyv ingest` brings them in"
    if report.waiting:
        yield (
            f"other days of the source that came in and may wait for their features: {report.waiting}; "
            f"{otzyv_command()} features --lake {report.lake} makes what they lack"
        )
    for line in report.failed:
        yield f"failed: {line}"
    if superseded := [day.day for day in report.days if day.verdict == "superseded"]:
        yield (
            f"superseded: {days_in_words(superseded)}: an ingest changed the reviews while tables were made of them, "
            f"or ended half-way. Readers keep what they had; {otzyv_command()} features --lake {report.lake} makes the "
            "days again"
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
    yield f"next: {otzyv_command()} quarantine --lake {lake}"


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
            f"of {count} {'review' if count == 1 else 'reviews'} the source holds two states and no updated_at says "
            "which is the newer, so one is kept that need not be it: give records updated_at, or take the former ones "
            "out of the source"
        )


def held_notes(lake: str, held: Mapping[date, str]) -> Iterator[str]:
    """Days that wait for a person, why, and what lets readers see them."""
    for day in sorted(held)[:MOST_HELD]:
        yield (
            f"held: {day}: {held[day]}. Readers keep what they had; if all is well: "
            f"{otzyv_command()} releases approve {day} --lake {lake}"
        )
    if len(held) > MOST_HELD:
        yield f"{len(held) - MOST_HELD} more days are held: {otzyv_command()} releases --lake {lake}"


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
    started = "" if report.server_seconds is None else f"start of Prefect's server {report.server_seconds:.1f} s, "
    console.print(f"imports {imports:.1f} s, {started}work {report.seconds:.1f} s")
    console.print(f"lake: {Storage(report.lake).uri}", soft_wrap=True)
    if report.page:
        console.print(f"quality page: {report.page}", soft_wrap=True)
    if made := [day for day in report.days if day.tables]:
        shown = [run.table for run in made[-1].tables][:2][-1]  # clean_text comes first
        console.print(f"next: {otzyv_command()} show {shown} --lake {report.lake} --limit 5", soft_wrap=True)
        if said["quarantined"] or any(run.invalid for day in made for run in day.tables):
            console.print(f"      {otzyv_command()} quarantine --lake {report.lake}", soft_wrap=True)


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
