"""What ``otzyv quarantine`` shows and does."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from typing import Any, cast

import click
from rich import box
from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen
from otzyv.flows.ingest import chosen
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.quarantine import Wanted, first, refused
from otzyv.tasks.pipeline.replay import ROW_CHECK, Replayed
from otzyv.tasks.pipeline.replay import replay as read_again
from otzyv.tasks.sources import REASONS, remedy
from otzyv.tasks.sources.again import Kept
from otzyv.tasks.sources.faults import parts
from otzyv.tasks.sources.tally import place
from otzyv.tasks.text.redact import redact

MARKS = (">>>", "<<<")
"""They stand around the fault of a record that is shown."""
_UNSEEN = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What a terminal obeys or does not show."""


def show_counts(lake: Lake, wanted: Wanted, *, as_json: bool) -> None:
    """How many records were refused, by rule, reason, source and day of arrival, the most first."""
    counts: Counter[tuple[Any, ...]] = Counter()
    earliest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in refused(lake.storage, wanted, ["rule"]):
        key = (row["rule"], row["reason"], _source(row), row["day"])
        counts[key] += 1
        known = earliest.setdefault(key, row)
        if (row["source"], row["offset"]) < (known["source"], known["offset"]):
            earliest[key] = row
    names = ("rule", "reason", "source", "day")
    rows = [
        {"records": n, **dict(zip(names, key, strict=True)), "example": _place(earliest[key])}
        for key, n in sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, default=str))
        return
    if not rows:
        click.echo("quarantine holds no such record")
        return
    heads = ("rule", "reason", "source", "day", "example")
    grid = Grid(Column("records", justify="right"), *heads, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for each in rows:
        grid.add_row(*(seen(str(each[name])) for name in ("records", *heads)))
    screen().print(grid)
    click.echo(
        f"next: otzyv quarantine show --lake {lake.uri} shows them, otzyv quarantine replay --lake {lake.uri} takes "
        "them in again"
    )


def show_records(
    lake: Lake, wanted: Wanted, settings: Settings, limit: int, *, unredacted: bool, as_json: bool
) -> None:
    """Refused records whole, the place of the fault marked; contacts are redacted, unless that is not wanted."""
    rows, total = first(lake.storage, wanted, limit)
    shown = [_record(lake, row, settings, unredacted=unredacted) for row in rows]
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False, default=str))
        return
    for each in shown:
        click.echo(f"{seen(each['place'])}, arrived {each['day']}: {each['reason']} ({each['rule']}); {each['remedy']}")
        click.echo(f"  {seen(each['record'])}\n")
    click.echo(f"{len(shown)} of {total} shown" + (f"; --limit {total} shows all" if len(shown) < total else ""))


def replay(
    lake: Lake, wanted: Wanted, settings: Settings, source: str | None, mapping: dict[str, str], *, as_json: bool
) -> bool:
    """Take refused records in again, and say what became of them and what to do next.

    False if there were some, and none of them could be taken in.
    """
    how = settings.model_copy(update={"mapping": {**settings.mapping, **mapping}})
    key = settings.key(lake.uri).get_secret_value()
    done = read_again(lake.uri, chosen(source or "", how), key, wanted)
    _tell(lake, done, as_json=as_json)
    counted, unread = done.accounting, sum(done.not_replayable.values())
    return counted.quarantined < counted.records_in or not (counted.records_in or unread)


def _tell(lake: Lake, done: Replayed, *, as_json: bool) -> None:
    counted = done.accounting
    if as_json:
        counts = ("records_in", "accepted", "quarantined", "deduplicated", "suppressed", "days")
        said = {name: value for name, value in asdict(counted).items() if name in counts}
        said |= {"refused": [asdict(each) for each in counted.reasons], "left": done.left}
        click.echo(json.dumps(said | {"not_replayable": done.not_replayable}, ensure_ascii=False, default=str))
        return
    click.echo(
        f"{counted.records_in} records in = {counted.accepted} accepted + {counted.quarantined} quarantined "
        f"+ {counted.deduplicated} deduplicated + {counted.suppressed} suppressed"
    )
    for each in counted.reasons:
        click.echo(f"{each.count} refused again: {each.reason}, as in {seen(each.example)}; {_cure(each.reason)}")
    for why, count in sorted(done.not_replayable.items()):
        click.echo(f"{count} can't be read again: {why}")
    click.echo(f"{done.left} left quarantine")
    if days := counted.days:
        click.echo(f"next: otzyv features --lake {lake.uri} --from {days[0]} --to {days[-1]}")


def _record(lake: Lake, row: dict[str, Any], settings: Settings, *, unredacted: bool) -> dict[str, Any]:
    if row["rule"] == ROW_CHECK:
        texts = (row["raw"].decode(errors="replace"), "", "")
        cure = f"otzyv features --lake {lake.uri} makes its day again once the extractor is right"
    else:
        kept = Kept(_source(row).rpartition("//")[2], row["offset"], row["raw"], row["raw_sha256"], row["context"])
        texts = parts(kept, row["reason"], settings.mapping)
        cure = _cure(row["reason"])
    before, fault, after = texts if unredacted else (redact(texts[0]), redact(texts[1]), redact(texts[2]))
    marked = f"{before}{MARKS[0]}{fault}{MARKS[1]}{after}" if fault or after else before
    told = {name: row[name] for name in ("source", "offset", "rule", "reason", "day")}
    return {**told, "place": _place(row), "remedy": cure, "record": marked}


def _cure(reason: str) -> str:
    return remedy(reason) if reason in REASONS else "bring its source in again"


def _source(row: dict[str, Any]) -> str:
    """The file; of a row that failed a check its table, as each has a source of its own."""
    name = str(row["source"])
    return name.partition("/")[0] if row["rule"] == ROW_CHECK else name


def _place(row: dict[str, Any]) -> str:
    return str(row["source"]) if row["rule"] == ROW_CHECK else place(str(row["source"]), cast(int, row["offset"]))


def seen(text: str) -> str:
    """A text with everything written out that a terminal would obey or not show."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
