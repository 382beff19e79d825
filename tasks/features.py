"""Task: make one day of one feature table. Only contents that are new or changed are computed."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from schemas.tables import QUARANTINE, REVIEWS
from tasks.extractors import Card, Extractor, get
from tasks.extractors.loop import Content, extract
from tasks.extractors.spending import charged, spending
from tasks.lake import Lake
from tasks.lake.contents import DayContents, day_contents, run_key, vector_contents
from tasks.lake.day import CheckFailed, Key, publish_day
from tasks.lake.journal import Journal
from tasks.lake.models import identity_path
from tasks.lake.quarantine import quarantine
from tasks.lake.releases import released_files
from tasks.lake.reuse import ChunkGone, Shelf, sweep
from tasks.lake.snapshot import DataFile, Snapshot, read_table
from tasks.pipeline.configure import configured
from tasks.pipeline.inventory import Standing
from tasks.pipeline.weights import hold
from tasks.progress import tell
from tasks.retry import DELAYS, RETRIES, environment_fault

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
    checks_passed: int = 0
    checks_failed: tuple[str, ...] = ()
    error: str | None = None


@task(
    name="features",
    task_run_name="{name} {day}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def features(lake_uri: str, name: str, day: date, *, again: bool = False) -> TableRun:
    """Make a day of the table of a registered extractor."""
    return make(Lake(lake_uri), get(name), day, again=again)


def make(lake: Lake, extractor: Extractor, day: date, *, again: bool = False) -> TableRun:
    """Make a day of an extractor's table from what the lake holds. ``again``: compute even what stands already.

    Raises CheckFailed when the day fails a table check; MissingWeights or WrongWeights when there is something to
    compute and the weights that the lake holds to are not in the model store. The day is then as it was. Where another
    run with the same fingerprint was faster, but on older inputs, the day is made anew; else the run is superseded.
    """
    with spending():
        for attempt in range(ATTEMPTS):
            try:
                run = _make(lake, extractor, day, again=again)
            except ChunkGone:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            if run.state != "superseded" or not _to_be_made_anew(lake, extractor, run):
                break
        return _paid(run)


def _make(lake: Lake, extractor: Extractor, day: date, *, again: bool) -> TableRun:
    started, clock = datetime.now(UTC), time.perf_counter()
    extractor, weights = configured(lake, extractor)
    card = extractor.card
    fingerprint = card.fingerprint(weights)
    # The version is noted before any input is read: inputs that change meanwhile can't be overwritten with older ones.
    snapshot = lake.snapshot(card.table)
    contents = inputs(lake, card, day)
    key = run_key(card.name, day, contents.digest, fingerprint)
    begun = TableRun(card.name, day, "unchanged", started, run_key=key, fingerprint=fingerprint, inputs=contents.digest)
    before = snapshot.of(day)
    if (snapshot.holds(day, key) and not again) or (not contents.keys.num_rows and not before):
        sweep(lake.storage, card.table, day)
        return _ended(
            begun,
            clock,
            rows=contents.keys.num_rows,
            reused=contents.keys.num_rows,
            status=_counts(lake, snapshot, day),
        )

    shelf = Shelf(lake.storage, card.table, day, fingerprint)
    if not again:
        shelf.take_over(reusable(lake, snapshot, day, former_days(lake, day)))
    shelf.resume()
    missing = [(sha, row) for sha, row in contents.distinct() if sha not in shelf]
    if weights is not None and (missing or contents.keys.num_rows):
        hold(lake, card, weights, unread=not missing)
    done = 0
    journal = Journal(lake.storage, card.name, fingerprint) if card.backend == "api" else None
    with charged((card.name, day), journal):
        for batch in extract(extractor, weights, contents_of(contents, missing)):
            shelf.add(batch)
            done += batch.num_rows
            tell(card.name, day, done, len(missing))
    if shelf.passing:
        key = run_key(card.name, day, contents.digest, fingerprint, whole=False)
        begun = replace(begun, run_key=key)
    lake.storage.write_new(identity_path(fingerprint), card.identity(weights).encode())

    def rows(invalid: Mapping[Key, str]) -> Iterator[pa.RecordBatch]:
        _quarantine_rows(lake, card.name, day, invalid)  # first: a run that dies has lost nothing
        return shelf.rows(contents.keys, key, invalid)

    try:
        published = publish_day(lake.storage, snapshot, day, rows, contents.keys)
    except CheckFailed:
        shelf.clear()  # or the next run would take up the rows that failed
        raise
    if journal is not None and published.outcome == "published":
        journal.clear(shelf)
    shelf.clear()
    computed = _computed(contents, shelf, first=not before)
    return replace(
        _ended(
            begun,
            clock,
            rows=published.rows,
            computed=computed,
            reused=published.rows - computed,
            status=dict(published.status),
        ),
        state=published.outcome,
        invalid=len(published.invalid),
        checks_passed=published.report.passed,
        checks_failed=tuple(failure.rule for failure in published.report.failed),
    )


def _to_be_made_anew(lake: Lake, extractor: Extractor, run: TableRun) -> bool:
    """Whether the faster run made the day as this one would, but of inputs that are no more."""
    stands = lake.snapshot(extractor.card.table).of(run.day)
    if any(file.fingerprint != run.fingerprint for file in stands):
        return False
    contents = inputs(lake, extractor.card, run.day)
    return not _made_of(stands, contents, run.table, run.day, str(run.fingerprint))


def _made_of(stands: Sequence[DataFile], contents: DayContents, table: str, day: date, fingerprint: str) -> bool:
    """Whether a day that stands in these files is made of these contents with this fingerprint."""
    keys = {run_key(table, day, contents.digest, fingerprint, whole=whole) for whole in (True, False)}
    return bool(stands) == bool(contents.keys.num_rows) and all(file.run_key in keys for file in stands)


def inputs(lake: Lake, card: Card, day: date) -> DayContents:
    """What a card reads on a day: texts, files or another table's vectors. Raises NotMade where those are not there."""
    if card.modality != "vector":
        return day_contents(lake.storage, card.modality, day)
    assert card.reads is not None
    source, weights = configured(lake, get(card.reads.name))
    fingerprint = source.card.fingerprint(weights)
    files = lake.snapshot(source.card.table).of(day)
    if not _made_of(files, inputs(lake, source.card, day), source.card.name, day, fingerprint):
        raise NotMade(card.name, source.card.name, lake.uri, day, day)
    return vector_contents(lake.storage, source.card.table, files, day)


class NotMade(LookupError):
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
    """The run of a table whose task raised: the error's class and first line, which hold no contents."""
    said = str(error).splitlines() or [""]
    return _paid(TableRun(table, day, "failed", datetime.now(UTC), error=f"{type(error).__name__}: {said[0]}"))


def _paid(run: TableRun) -> TableRun:
    """The run with what was paid for it, failed tries included."""
    with charged((run.table, run.day)) as account:
        return replace(
            run,
            money=float(account.money),
            answer_p50=account.quantile(0.5),
            answer_p95=account.quantile(0.95),
        )


def _ended(run: TableRun, clock: float, **figures: object) -> TableRun:
    return replace(run, seconds=time.perf_counter() - clock, **figures)  # type: ignore[arg-type]


def former_days(lake: Lake, day: date, reviews: Snapshot | None = None) -> list[date]:
    """Days that reviews of this day lay in before: their features can be taken over from there."""
    reviews = reviews or lake.snapshot(REVIEWS)
    moved = pc.unique(read_table(lake.storage, REVIEWS, reviews.of(day), ["former_day"])["former_day"]).to_pylist()
    return sorted(former for former in moved if former is not None and former != day)


def reusable(lake: Lake, snapshot: Snapshot, day: date, former: Sequence[date]) -> Iterator[DataFile]:
    """The files that may hold what the day needs: its own, and those of the days its reviews lay in before.

    A former day that was made anew stands without the reviews that left it; its releases tell where they are.
    """
    yield from snapshot.of(day)
    for place in former:
        yield from snapshot.of(place)
        yield from released_files(lake.storage, snapshot.table, place)


def contents_of(contents: DayContents, missing: Sequence[tuple[str, int]]) -> Iterator[Content]:
    """What the loop is to read: contents by their hash and row."""
    for sha, row in missing:
        yield Content(sha, contents.sizes[row], partial(contents.read, row))


def _computed(contents: DayContents, shelf: Shelf, *, first: bool) -> int:
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
