"""Brings the records of a source into the lake, and accounts for each of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal

import pyarrow as pa

from otzyv.schemas.tables import QUARANTINE, REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.blobs import attaching
from otzyv.tasks.lake.records.gone import Seen, file_of
from otzyv.tasks.lake.records.quarantine import quarantine
from otzyv.tasks.lake.records.suppression import suppressed
from otzyv.tasks.lake.records.upsert import upsert
from otzyv.tasks.pipeline.incoming import BATCH, Incoming
from otzyv.tasks.sources import (
    Dates,
    Listing,
    Notes,
    Reason,
    Record,
    RejectedRecord,
    SourceError,
    SourceFile,
    Tally,
    check,
    files,
    find,
    note_aside,
    read,
)
from otzyv.tasks.sources.web import Web
from otzyv.tasks.text.redact import ALL

_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of each record: records_in = accepted + quarantined + deduplicated + suppressed, exactly."""

    records_in: int
    accepted: int
    quarantined: int
    deduplicated: int
    suppressed: int
    days: tuple[date, ...]
    """Days that the source's records lie in, and days that a moved or vanished review left."""
    seconds: float
    newly_quarantined: int = 0
    """How many of the quarantined were not in quarantine before."""
    accepted_on: Mapping[date, int] = field(default_factory=dict)
    """The accepted by the day that they lie in."""
    reasons: tuple[Reason, ...] = ()
    """Why the quarantined were refused, the commonest reason first."""
    gone: int | None = None
    """Reviews that the source no longer holds and the lake has let go; None where the source is no snapshot."""
    undecided: int = 0
    """Reviews with two states of which neither is newer by updated_at: one of them is kept, always the same."""
    notes: tuple[str, ...] = ()
    """What a person should know of the source: lines, the files that were left aside first."""
    absent: int = 0
    """Reviews that a snapshot was not read to hold, and that stay: what was refused may be theirs."""
    files_kept: int = 0
    """Attached files that could not be read this time, and stay as the lake has them."""
    files_lost: int = 0
    """Attached files that the lake had, and has no more as their URLs may stand for others now."""
    written: int = 0
    """Days whose reviews or attachments are not as they were."""
    failures: tuple[str, ...] = ()
    """Why this was no success, although what was accepted is in: one sentence each."""

    def __post_init__(self) -> None:
        if self.records_in != self.accepted + self.quarantined + self.deduplicated + self.suppressed:
            raise AssertionError(f"the ingest's accounting does not add up: {asdict(self)}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from. ``snapshot``: what the source no longer holds is gone; ``append``: it stays.

    ``mapping``, ``encoding`` and ``dates`` say how its files are written, as ``tasks.sources.read`` takes them.
    ``allow_empty``: files may hold no record, and a snapshot may leave days without any review. ``allow_gone``: what a
    snapshot lacks is gone although it may not be whole. ``name``: what tells the source from others of the same lake.
    ``refused_share``: if more of its records are refused, the ingest is no success. ``hosts``: where attached files
    may be fetched from over https. ``redact``: the kinds of
    ``tasks.text.redact.KINDS`` that give way to marks in what is brought in; what the lake holds already is as it was,
    until the same records are brought in again.
    """

    path: str
    mode: Literal["append", "snapshot"] = "append"
    mapping: Mapping[str, str] | None = None
    allow_empty: bool = False
    encoding: str | None = None
    dates: Dates = "iso"
    allow_gone: bool = False
    name: str | None = None
    hosts: tuple[str, ...] = ()
    refused_share: float = 0.2
    redact: Collection[str] = ALL


def ingest(
    lake_uri: str, source: Source, author_key: str, days: Sequence[date] | None = None, *, web: Web | None = None
) -> Accounting:
    """Read a source as a stream, quarantine what can't be read, and upsert the rest.

    ``days`` fill a ``{day}`` in the source's path; without them every day found there is read. Of a file that is not
    what it claims to be, or breaks further inside, nothing comes in: it is among the failures. Raises SourceError where
    no file is sound, and FetchFailed where a host that attached files lie on can't be reached; ``web``: how these are
    fetched.
    """
    lake = Lake(lake_uri)
    with attaching(lake.storage):
        return _ingest(lake, source, author_key, days, web or Web(frozenset(source.hosts)))


def _ingest(lake: Lake, source: Source, author_key: str, days: Sequence[date] | None, web: Web) -> Accounting:
    started = dt.datetime.now(dt.UTC)
    arrival = started.astimezone(lake.constants.zone).date()
    forgotten = suppressed(lake.storage)
    counts = {"records_in": 0, "quarantined": 0, "suppressed": 0, "newly_quarantined": 0}
    tally = Tally()
    held = set[str]()
    incoming = Incoming(lake, author_key, forgotten, source.redact, web)
    refused: list[dict[str, Any]] = []
    listings = _listings(source, days)
    aside = [each for listing in listings for each in listing.aside]
    notes = Notes()
    note_aside(aside, notes)
    chosen = [file for listing in listings for file in listing.files]
    sound, damaged = _parted(source, chosen)

    for file, item in _records(source, sound, lake, notes):
        counts["records_in"] += 1
        held.add(file.name)
        if isinstance(item, RejectedRecord):
            if forgotten.covers_refused(author_key, item.raw, item.review_id):
                counts["suppressed"] += 1
                continue
            refused.append(_refused(item, source, arrival))
            counts["quarantined"] += 1
            tally.records[file.name] += 1
            tally.refuse(item)
            if len(refused) >= BATCH:
                counts["newly_quarantined"] += _put_aside(lake, refused)
                refused.clear()
            continue
        if incoming.take(item, file, file_of(source.name, file.known_as)):
            tally.records[file.name] += 1
        else:
            counts["suppressed"] += 1
    counts["newly_quarantined"] += _put_aside(lake, refused)
    reviews, attachments = incoming.tables()
    if not source.allow_empty:
        lake.check_sources(reviews["day"].unique().to_pylist())
    refusals = tally.failures(source.refused_share)
    failures = (*damaged, *refusals, *_no_record(source, sound, counts["records_in"]))
    seen = None
    if source.mode == "snapshot":
        some = days if days and "{day}" in source.path else None
        seen = replace(
            _seen(source, chosen, held, some, lake, tally),
            aside=[each.name for each in aside if each.may_hold_records],
            failed=bool(failures),
        )
    done = upsert(
        lake.storage,
        reviews,
        attachments,
        seen=seen,
        allow_empty=source.allow_empty,
        on_the_web=incoming.on_the_web,
    )
    # A run that died here has moved reviews whose days were not made since, so what changed now is not all there is.
    touched = {*reviews["day"].unique().to_pylist(), *done.changed, *done.left, *_emptied(lake)}
    seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
    return Accounting(
        **counts,
        accepted=done.accepted,
        deduplicated=done.deduplicated,
        days=tuple(sorted(touched)),
        seconds=seconds,
        accepted_on=done.accepted_on,
        reasons=tally.reasons,
        gone=done.gone if seen is not None else None,
        undecided=done.undecided,
        notes=tuple(notes.lines()),
        absent=done.absent,
        files_kept=done.files_kept,
        files_lost=done.files_lost,
        written=len(done.changed),
        failures=failures,
    )


def _emptied(lake: Lake) -> set[date]:
    """Days that readers see rows of, although no review is left in them."""
    seen = {day for day, release in lake.releases().items() if any(table.files for table in release.tables)}
    return seen - set(lake.snapshot(REVIEWS).days)


def check_source(source: Source, days: Sequence[date] | None = None) -> None:
    """Raises SourceError for a source of which nothing can be read: of its files, those before a sound one are read."""
    _parted(source, [file for listing in _listings(source, days) for file in listing.files], until_sound=True)


def _listings(source: Source, days: Sequence[date] | None) -> list[Listing]:
    return [find(source.path, day) for day in (days if days and "{day}" in source.path else [None])]


def _parted(
    source: Source, chosen: Sequence[SourceFile], *, until_sound: bool = False
) -> tuple[list[SourceFile], list[str]]:
    """The files that are sound to their end, and what is wrong with the others. Raises SourceError if none is sound.

    ``until_sound``: those up to the first that is sound.
    """
    sound: list[SourceFile] = []
    damaged: list[str] = []
    for file in chosen:
        try:
            check(file, mapping=source.mapping or {}, encoding=source.encoding)
        except SourceError as error:
            damaged.append(str(error))
            continue
        sound.append(file)
        if until_sound:
            break
    if damaged and not sound:
        more = f" (nor can any other of the {len(damaged)} files be read)" if len(damaged) > 1 else ""
        raise SourceError(f"{damaged[0]}{more}")
    return sound, damaged


def _records(
    source: Source, chosen: Sequence[SourceFile], lake: Lake, notes: Notes
) -> Iterator[tuple[SourceFile, Record | RejectedRecord]]:
    mapping, zone = source.mapping or {}, lake.constants.zone
    for file in chosen:
        for item in read(
            file, mapping=mapping, timezone=zone, encoding=source.encoding, dates=source.dates, notes=notes
        ):
            yield file, item


def _no_record(source: Source, chosen: Sequence[SourceFile], records: int) -> Iterator[str]:
    """What is wrong with a source that is not blank, and of which no record was read."""
    if records or source.allow_empty:
        return
    for file in chosen:
        with file.path.open("rb") as stream:
            if stream.read(_HEAD).strip():
                yield f"{file.name} is not empty, and holds no record; if that is meant, say --allow-empty"
                return


def _seen(
    source: Source,
    chosen: Sequence[SourceFile],
    filled: Collection[str],
    some: Sequence[date] | None,
    lake: Lake,
    tally: Tally,
) -> Seen:
    """What an ingest that has read these files, of ``some`` days or of all, knows of a source that is a snapshot.

    ``filled``: the names of those that held a record.
    """
    read_now = {file.name for file in chosen}
    others = [file for file in files(source.path) if file.name not in read_now] if some else []
    held = {file.known_as for file in chosen if file.name in filled or source.allow_empty}

    def elsewhere(ids: Collection[str]) -> tuple[set[str], bool]:
        found: set[str] = set()
        sure = True
        try:
            for _, item in _records(source, others, lake, Notes()):
                if item.review_id is None:
                    sure = False
                elif item.review_id in ids:
                    found.add(item.review_id)
        except SourceError:
            sure = False
        return found, sure

    return Seen(
        source=source.name,
        read=frozenset(file_of(source.name, name) for name in held),
        there=frozenset(file_of(source.name, name) for name in (*held, *(file.known_as for file in others))),
        days=frozenset(some) if some else None,
        refused=frozenset(tally.ids),
        nameless=tally.nameless,
        elsewhere=elsewhere,
        allowed=source.allow_gone,
    )


def _put_aside(lake: Lake, refused: Sequence[Mapping[str, Any]]) -> int:
    return quarantine(lake.storage, pa.Table.from_pylist(refused, schema=QUARANTINE.arrow))


def _refused(refusal: RejectedRecord, source: Source, arrival: date) -> dict[str, Any]:
    return {
        "source": file_of(source.name, refusal.source_file),
        "offset": refusal.offset,
        "rule": refusal.rule,
        "reason": refusal.reason,
        "raw": refusal.raw,
        "raw_sha256": refusal.raw_sha256,
        "record_id": refusal.review_id,
        "context": refusal.context,
        "day": arrival,
    }
