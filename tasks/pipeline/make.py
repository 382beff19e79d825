"""Make days of one feature table. Only contents that are new or changed are computed, each once for all the days."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from types import MappingProxyType
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import InputError, OtzyvError
from otzyv.schemas.tables import QUARANTINE, REVIEWS
from otzyv.tasks.extractors import Card, Extractor, get
from otzyv.tasks.extractors.budget import charged, spending
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.loop import Content, extract
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.day import CheckFailed, Key, Published, publish_days
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile, Snapshot, read_table
from otzyv.tasks.lake.delta.storage import DamagedFile
from otzyv.tasks.lake.features.artefacts import identity_path
from otzyv.tasks.lake.features.contents import DayContents, day_contents, run_key, source, vector_contents
from otzyv.tasks.lake.features.journal import Journal
from otzyv.tasks.lake.features.row_cache import ChunkGone, RowCache, sweep
from otzyv.tasks.lake.records.quarantine import quarantine
from otzyv.tasks.lake.releases import released_files
from otzyv.tasks.pipeline.configure import configured
from otzyv.tasks.pipeline.inventory import Standing
from otzyv.tasks.pipeline.progress import report_progress
from otzyv.tasks.pipeline.weights import pin

ATTEMPTS = 5
"""How often a day is made while other runs make it too."""


@dataclass(frozen=True, slots=True)
class TableRun:
    """How one attempt at one table and day ended. ``rows`` = ``computed`` + ``reused``."""

    table: str
    day: date
    state: Literal["published", "unchanged", "superseded", "failed"]
    started_at: datetime
    rows: int = 0
    computed: int = 0
    reused: int = 0
    invalid: int = 0
    money: float = 0.0
    answer_p50: float | None = None
    answer_p95: float | None = None
    status: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    run_key: str | None = None
    fingerprint: str | None = None
    inputs: str | None = None
    """The digest of the contents that the day is made of."""
    read: tuple[str, ...] = ()
    """The data files that those contents were read from."""
    checks_passed: int = 0
    checks_failed: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What of some days of a table is to be made; ``days`` are those in which there is something to do.

    ``keys``: the run key of each day, once it is made. ``shelf`` has the contents that need not be computed,
    ``missing`` the others: day, sha256 and row of its first use.
    """

    keys: Mapping[date, str]
    days: tuple[date, ...]
    shelf: RowCache
    missing: tuple[tuple[date, str, int], ...]


def decide(
    lake: Lake,
    card: Card,
    fingerprint: str,
    snapshot: Snapshot,
    contents: Mapping[date, DayContents],
    former: Mapping[date, Collection[date]],
    *,
    again: bool,
    remade: Mapping[date, Set[str]] = MappingProxyType({}),
) -> Decision:
    """Compare days of a table with what they would be made of.

    Each content is there once, whichever of the days it stands on. What any of them, or of the days that their reviews
    lay in before (``former``), holds of the same fingerprint is reused; where all is made ``again``, nothing is.
    ``remade``: former days that are made before these, and the contents that they will hold then.
    """
    keys = {day: run_key(card.name, day, each.digest, fingerprint) for day, each in contents.items()}
    days = tuple(day for day in contents if _to_do(snapshot, day, contents[day], keys[day], again=again))
    shelf = RowCache(lake.storage, card.table, min(contents), fingerprint)
    places: set[date] = set()
    if not again:
        places = {place for day in days for place in former.get(day, ())}
        shelf.take_over(reusable(lake, snapshot, {*days, *(places - remade.keys())}, places))
    coming = set[str]().union(*(remade[place] for place in places & remade.keys()))
    missing: dict[str, tuple[date, str, int]] = {}
    for day in days:
        for sha, row in contents[day].distinct():
            if sha not in shelf and sha not in coming:
                missing.setdefault(sha, (day, sha, row))
    return Decision(keys, days, shelf, tuple(missing.values()))


def _to_do(snapshot: Snapshot, day: date, contents: DayContents, key: str, *, again: bool) -> bool:
    if not contents.keys.num_rows and not snapshot.of(day):
        return False
    return again or not snapshot.holds(day, key)


def make(lake: Lake, extractor: Extractor, day: date, *, again: bool = False) -> TableRun:
    """Make one day, as ``make_days`` does. Raises CheckFailed when it fails a table check, and NotMade."""
    (ended,) = make_days(lake, extractor, [day], again=again)
    if isinstance(ended, TableRun):
        return ended
    raise ended


def make_days(
    lake: Lake, extractor: Extractor, days: Sequence[date], *, again: bool = False
) -> list[TableRun | Failure]:
    """Make days of an extractor's table from what the lake holds, by one pass and one commit; how each ended.

    ``again``: compute even what stands already. A day that fails a table check stays as it was, as does one that
    another run has published meanwhile; where that one had the same fingerprint and older inputs, the day is decided
    again. Where the pass fails by what one day holds, each day is made by itself.

    Raises MissingWeights or WrongWeights where there is something to compute and the weights that the lake holds to are
    not in the model store.
    """
    if extractor.card.backend == "api" and len(days) > 1:  # what is paid is paid for a day
        return [ended for day in days for ended in make_days(lake, extractor, [day], again=again)]
    try:
        return _tried(lake, extractor, days, again=again)
    except OF_A_DAY as failure:
        if len(days) == 1:
            return [failure]
        return [ended for day in days for ended in make_days(lake, extractor, [day], again=again)]


def _tried(lake: Lake, extractor: Extractor, days: Sequence[date], *, again: bool) -> list[TableRun | Failure]:
    ended: dict[date, TableRun | Failure] = {}
    left = list(days)
    with spending():
        for attempt in range(ATTEMPTS):
            try:
                ended |= _make(lake, extractor, left, again=again)
            except ChunkGone:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            left = [day for day in left if _to_be_decided_again(lake, extractor, ended[day])]
            if not left:
                break
        return [_paid(run) if isinstance(run, TableRun) else run for run in map(ended.__getitem__, days)]


def _make(lake: Lake, extractor: Extractor, days: Sequence[date], *, again: bool) -> Mapping[date, TableRun | Failure]:
    started, clock = datetime.now(UTC), time.perf_counter()
    extractor, weights = configured(lake, extractor)
    card = extractor.card
    fingerprint = card.fingerprint(weights)
    # The version is noted before any input is read: inputs that change meanwhile can't be overwritten with older ones.
    snapshot = lake.snapshot(card.table)
    reviews = lake.snapshot(REVIEWS)
    contents = inputs(lake, card, days)
    former = {} if again else {day: former_days(lake, day, reviews) for day in days}
    decided = decide(lake, card, fingerprint, snapshot, contents, former, again=again)
    begun = {
        day: TableRun(
            card.name,
            day,
            "unchanged",
            started,
            run_key=decided.keys[day],
            fingerprint=fingerprint,
            inputs=contents[day].digest,
            read=contents[day].files,
        )
        for day in days
    }
    ended: dict[date, TableRun | Failure] = {
        day: _unchanged(lake, run, snapshot, contents[day]) for day, run in begun.items() if day not in decided.days
    }
    sweep(lake.storage, card.table, min(days))
    if not decided.days:
        return ended

    shelf, keys = decided.shelf, dict(decided.keys)
    shelf.resume()
    missing = [each for each in decided.missing if each[1] not in shelf]
    if weights is not None and (missing or any(contents[day].keys.num_rows for day in decided.days)):
        pin(lake, card, weights, unread=not missing)
    done = 0
    journal = Journal(lake.storage, card.name, fingerprint) if card.backend == "api" else None
    with charged((card.name, min(days)), journal):
        for batch in extract(extractor, weights, contents_of(contents, missing)):
            shelf.add(batch)
            done += batch.num_rows
            report_progress(card.name, decided.days, done, len(missing))
    for day in decided.days:
        if not shelf.passing.isdisjoint(sha for sha, _ in contents[day].distinct()):
            keys[day] = run_key(card.name, day, contents[day].digest, fingerprint, whole=False)
    lake.storage.write_new(identity_path(fingerprint), card.identity(weights).encode())

    def rows(day: date, invalid: Mapping[Key, str]) -> Iterator[pa.RecordBatch]:
        _quarantine_rows(lake, card.name, day, invalid)  # first: a run that dies has lost nothing
        return shelf.rows(day, contents[day].keys, keys[day], invalid)

    published = publish_days(lake.storage, snapshot, rows, {day: contents[day].keys for day in decided.days})
    if journal is not None and any(isinstance(p, Published) and p.outcome == "published" for p in published.values()):
        journal.clear(shelf)
    shelf.clear()  # where a day failed its checks as well: or the next run would take up the rows that failed
    computed = {day: _computed(contents[day], shelf, first=not snapshot.of(day)) for day in decided.days}
    seconds = (time.perf_counter() - clock) / (sum(computed.values()) + len(computed))
    for day, outcome in published.items():
        if isinstance(outcome, CheckFailed):
            ended[day] = outcome
            continue
        ended[day] = replace(
            begun[day],
            state=outcome.outcome,
            rows=outcome.rows,
            computed=computed[day],
            reused=outcome.rows - computed[day],
            status=dict(outcome.status),
            seconds=seconds * (computed[day] + 1),  # a day's share of the pass
            run_key=keys[day],
            invalid=len(outcome.invalid),
            checks_passed=outcome.report.passed,
            checks_failed=tuple(failure.rule for failure in outcome.report.failed),
        )
    return ended


def _unchanged(lake: Lake, run: TableRun, snapshot: Snapshot, contents: DayContents) -> TableRun:
    rows = contents.keys.num_rows
    return replace(run, rows=rows, reused=rows, status=_counts(lake, snapshot, run.day))


def _to_be_decided_again(lake: Lake, extractor: Extractor, run: TableRun | Failure) -> bool:
    """Whether a faster run made the day as this one would, but of inputs that are no more."""
    if not isinstance(run, TableRun) or run.state != "superseded":
        return False
    stands = lake.snapshot(extractor.card.table).of(run.day)
    if any(file.fingerprint != run.fingerprint for file in stands):
        return False
    contents = inputs(lake, extractor.card, [run.day])[run.day]
    return not _made_of(stands, contents, run.table, run.day, str(run.fingerprint))


def _made_of(stands: Sequence[DataFile], contents: DayContents, table: str, day: date, fingerprint: str) -> bool:
    """Whether a day that stands in these files is made of these contents with this fingerprint."""
    keys = {run_key(table, day, contents.digest, fingerprint, whole=whole) for whole in (True, False)}
    return bool(stands) == bool(contents.keys.num_rows) and all(file.run_key in keys for file in stands)


def inputs(lake: Lake, card: Card, days: Sequence[date]) -> dict[date, DayContents]:
    """What a card reads on each day: texts, files or another table's vectors. Raises NotMade where none are made."""
    if card.modality != "vector":
        snapshot = lake.snapshot(source(card.modality))
        return {day: day_contents(lake.storage, card.modality, day, snapshot) for day in days}
    assert card.reads is not None
    read, weights = configured(lake, get(card.reads.name))
    fingerprint = read.card.fingerprint(weights)
    snapshot = lake.snapshot(read.card.table)
    made_of = inputs(lake, read.card, days)
    for day in days:
        if not _made_of(snapshot.of(day), made_of[day], read.card.name, day, fingerprint):
            raise NotMade(card.name, read.card.name, lake.uri, day, day)
    return {day: vector_contents(lake.storage, read.card.table, snapshot.of(day), day) for day in days}


class NotMade(InputError, LookupError):
    """The table that an extractor reads is not made yet, or of what is no more."""

    def __init__(self, name: str, source: str, lake: str, first: date, last: date) -> None:
        super().__init__(
            f"{name} reads the table {source}, which is not up to date. "
            f"Run `otzyv features --lake {lake} --from {first} --to {last} --extractors {source}`"
        )


def unchanged(stands: Standing, day: date) -> TableRun:
    """The run of a table that needed none."""
    return TableRun(
        stands.table,
        day,
        "unchanged",
        datetime.now(UTC),
        rows=stands.rows,
        reused=stands.rows,
        status=dict(stands.status),
        run_key=stands.run_key,
        fingerprint=stands.fingerprint,
    )


def failed(table: str, day: date, error: object) -> TableRun:
    """The run of a table whose task raised."""
    return _paid(TableRun(table, day, "failed", datetime.now(UTC), error=_told(error)))


def _told(error: object) -> str:
    """An error in one line. Words of a library are left out: they may quote a review, or name a path or an address."""
    kind = type(error).__name__
    if isinstance(error, OtzyvError):
        return f"{kind}: {(str(error).splitlines() or [''])[0]}"
    if isinstance(error, OSError) and error.errno:
        return f"{kind}: {os.strerror(error.errno)}"
    frame = getattr(error, "__traceback__", None)
    if frame is None:
        return kind
    while frame.tb_next:
        frame = frame.tb_next
    return (
        f"{kind}: raised in {frame.tb_frame.f_globals.get('__name__', 'code without a name')}, line {frame.tb_lineno}"
    )


Failure = CheckFailed | NotMade | ExtractorFailed | CorruptFile | DamagedFile | FileNotFoundError
"""Why a day of a table could not be made, where that is no reason against the others."""
OF_A_DAY = get_args(Failure)


def _paid(run: TableRun) -> TableRun:
    """The run with what was paid for it, failed tries included."""
    with charged((run.table, run.day)) as account:
        return replace(
            run,
            money=float(account.money),
            answer_p50=account.quantile(0.5),
            answer_p95=account.quantile(0.95),
        )


def former_days(lake: Lake, day: date, reviews: Snapshot | None = None) -> list[date]:
    """Days that reviews of this day lay in before: their features can be taken over from there."""
    reviews = reviews or lake.snapshot(REVIEWS)
    moved = pc.unique(read_table(lake.storage, REVIEWS, reviews.of(day), ["former_day"])["former_day"]).to_pylist()
    return sorted(former for former in moved if former is not None and former != day)


def reusable(
    lake: Lake, snapshot: Snapshot, standing: Collection[date], former: Collection[date]
) -> Iterator[DataFile]:
    """The files that may hold what days need: of days as they stand, and of those that their reviews lay in before.

    A former day that was made since stands without the reviews that left it; its releases tell where they are.
    """
    for day in sorted(standing):
        yield from snapshot.of(day)
    for day in sorted(former):
        yield from released_files(lake.storage, snapshot.table, day)


def contents_of(contents: Mapping[date, DayContents], missing: Sequence[tuple[date, str, int]]) -> Iterator[Content]:
    """What the loop is to read: contents by their day, hash and row."""
    for day, sha, row in missing:
        yield Content(sha, contents[day].sizes[row], partial(contents[day].read, row))


def _computed(contents: DayContents, shelf: RowCache, *, first: bool) -> int:
    """Rows whose content was computed now; a row without content was made now if the day was not there before."""
    pairs = zip(contents.keys["content_sha256"].to_pylist(), contents.keys["status"].to_pylist(), strict=True)
    return sum(sha in shelf.computed if status == "ok" else first for sha, status in pairs)


def _counts(lake: Lake, snapshot: Snapshot, day: date) -> dict[str, int]:
    rows = read_table(lake.storage, snapshot.table, snapshot.of(day), ["status"])
    return dict(Counter(rows["status"].to_pylist()))


def _quarantine_rows(lake: Lake, table: str, day: date, invalid: Mapping[Key, str]) -> None:
    """Note rows that failed a check: their key and the check's name, never their values."""
    if not invalid:
        return
    arrival = datetime.now(lake.constants.zone).date()
    rows = []
    for key, rule in invalid.items():
        raw = json.dumps([table, day.isoformat(), *key, rule], ensure_ascii=False, default=str).encode()
        rows.append(
            {
                "source": "/".join([table, *map(str, key)]),
                "offset": 0,
                "rule": "row_check",
                "reason": f"row failed {rule}",
                "raw": raw,
                "raw_sha256": hashlib.sha256(raw).hexdigest(),
                "record_id": str(key[0]),
                "day": arrival,
            }
        )
    quarantine(lake.storage, pa.Table.from_pylist(rows, schema=QUARANTINE.arrow))
