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
from otzyv.tasks.lake.records.upsert import Overlapping, upsert
from otzyv.tasks.pipeline.healed import Healed
from otzyv.tasks.pipeline.incoming import BATCH, Incoming
from otzyv.tasks.pipeline.known_files import KnownFile, KnownFiles
from otzyv.tasks.sources import (
    Dates,
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
from otzyv.tasks.sources.listing import Aside, root_of
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
    """Reviews of which this ingest read two states, neither newer by updated_at: one is kept, always the same."""
    notes: tuple[str, ...] = ()
    """What a person should know of the source: lines, the files that were left aside first."""
    absent: int = 0
    """Reviews that a snapshot was not read to hold, and that stay: what was refused may be theirs."""
    files_kept: int = 0
    """Attached files that could not be read this time, and stay as the lake has them."""
    files_lost: int = 0
    """Attached files that the lake had, and has no more as their URLs may stand for others now."""
    changed_days: tuple[date, ...] = ()
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
        listing, known = _listing(source, days), _known_files(lake, source)
        unread = known.unread(listing.files)
        return _ingest(lake, source, author_key, listing, known, unread, web or Web(frozenset(source.hosts)))


def nothing_new(lake_uri: str, source: Source, days: Sequence[date] | None = None) -> Accounting | None:
    """What ``ingest`` would account for, where it is known without reading a record that it would change nothing."""
    lake, started = Lake(lake_uri), dt.datetime.now(dt.UTC)
    listing = _listing(source, days)
    known = _known_files(lake, source)
    with attaching(lake.storage):
        unread = known.unread(listing.files, all_or_none=True)
    return _unchanged(lake, source, listing, known, unread, started)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The files of a source, or those of ``some`` days, and what was left aside."""

    files: tuple[SourceFile, ...]
    aside: tuple[Aside, ...]
    some: tuple[date, ...] | None

    @property
    def doubtful(self) -> list[str]:
        return [each.name for each in self.aside if each.may_hold_records]


def _ingest(
    lake: Lake,
    source: Source,
    author_key: str,
    listing: _Listed,
    known: KnownFiles,
    unread: Mapping[SourceFile, KnownFile],
    web: Web,
    newly_quarantined: int = 0,
) -> Accounting:
    """Bring in the files that are not to be left ``unread``, or all of them where those are not enough."""
    started = dt.datetime.now(dt.UTC)
    if found := _unchanged(lake, source, listing, known, unread, started):
        return found
    to_read = [file for file in listing.files if file not in unread]
    sound, damaged = _parted(source, to_read, others=bool(unread))
    incoming = Incoming(lake, author_key, suppressed(lake.storage), source.redact, web)
    read = _Read(newly_quarantined=newly_quarantined)
    note_aside(listing.aside, read.notes)
    readable = set(sound)
    healed = Healed(lake, {file_of(source.name, file.known_as) for file in to_read})
    for file in listing.files:
        if file in unread:
            read.leave(file, unread[file])
        elif file in readable:
            before = read.records_in
            read.take(lake, source, file, author_key, incoming, healed, started)
            if source.mode == "append" and (shrunk := known.shrunk(file, read.records_in - before)):
                read.notes.add(shrunk[0], file.name, shrunk[1])
    read.put_aside(lake)
    reviews, attachments = incoming.tables()
    come_in = {*reviews["day"].unique().to_pylist()}.union(*(each.touched for each in unread.values()))
    if not source.allow_empty:
        lake.check_sources(come_in)
    refusals = read.tally.failures(source.refused_share)
    failures = (*damaged, *refusals, *_no_record(source, sound, read.records_in))
    seen = None
    if source.mode == "snapshot":
        seen = replace(
            _seen(source, listing, read.held, lake, read.tally), aside=listing.doubtful, failed=bool(failures)
        )
    try:
        done = upsert(
            lake.storage,
            reviews,
            attachments,
            seen=seen,
            allow_empty=source.allow_empty,
            on_the_web=incoming.on_the_web,
            unread={each.name for each in unread.values()},
        )
    except Overlapping:
        return _ingest(lake, source, author_key, listing, known, {}, web, read.newly_quarantined)
    healed.leave()
    # Of a snapshot, the reviews of a file that is left unread count as held by it: no others may be its own.
    held = seen is None or not (seen.failed or done.absent)
    told = {
        file: (read.notes.of(file.name), read.tally.of(file.name)) for file in sound if file.name not in read.spoiled
    }
    known.note(
        told if held else {},
        reviews,
        attachments,
        done,
        unread=unread,
        listed=listing.files,
        whole=listing.some is None,
        none_gone_of=listing.doubtful if seen and held and not listing.some else None,
    )
    # A run that died here has moved reviews whose days were not made since, so what changed now is not all there is.
    touched = {*come_in, *done.changed, *done.left, *_emptied(lake)}
    return Accounting(
        records_in=read.records_in,
        accepted=done.accepted,
        quarantined=read.quarantined,
        deduplicated=done.deduplicated + sum(each.taken for each in unread.values()),
        suppressed=read.suppressed,
        days=tuple(sorted(touched)),
        seconds=_since(started),
        newly_quarantined=read.newly_quarantined,
        accepted_on=done.accepted_on,
        reasons=read.tally.reasons,
        gone=done.gone if seen is not None else None,
        undecided=done.undecided,
        notes=tuple(read.notes.lines()),
        absent=done.absent,
        files_kept=done.files_kept,
        files_lost=done.files_lost,
        changed_days=done.changed,
        failures=failures,
    )


def _unchanged(
    lake: Lake,
    source: Source,
    listing: _Listed,
    known: KnownFiles,
    unread: Mapping[SourceFile, KnownFile],
    started: dt.datetime,
) -> Accounting | None:
    """The accounting of a source none of whose files need be read; None where some must, or reviews may be gone."""
    if not listing.files or len(unread) < len(listing.files):
        return None
    if source.mode == "snapshot" and (listing.some or not known.none_gone(listing.files, listing.doubtful)):
        return None
    read = _Read()
    note_aside(listing.aside, read.notes)
    for file in listing.files:
        read.leave(file, unread[file])
    if [*read.tally.failures(source.refused_share)]:
        return None
    touched = _emptied(lake).union(*(each.touched for each in unread.values()))
    return Accounting(
        records_in=read.records_in,
        accepted=0,
        quarantined=read.quarantined,
        deduplicated=read.records_in - read.quarantined,
        suppressed=0,
        days=tuple(sorted(touched)),
        seconds=_since(started),
        reasons=read.tally.reasons,
        gone=0 if source.mode == "snapshot" else None,
        notes=tuple(read.notes.lines()),
    )


@dataclass(slots=True)
class _Read:
    """What is counted while a source's files are read, or left unread."""

    records_in: int = 0
    quarantined: int = 0
    suppressed: int = 0
    newly_quarantined: int = 0
    tally: Tally = field(default_factory=Tally)
    notes: Notes = field(default_factory=Notes)
    held: set[str] = field(default_factory=set)
    """Files that hold a record."""
    spoiled: set[str] = field(default_factory=set)
    """Files with records of people who are to be forgotten."""
    _refused: list[dict[str, Any]] = field(default_factory=list)

    def leave(self, file: SourceFile, known: KnownFile) -> None:
        """Count a file as it was when it was read."""
        self.records_in += known.records
        self.tally.records[file.name] += known.records
        self.held.add(file.name)
        for reason in known.reasons:
            self.quarantined += reason.count
            self.tally.add(file.name, reason)
        for text, count in known.notes.items():
            self.notes.add(text, file.name, count)

    def take(
        self,
        lake: Lake,
        source: Source,
        file: SourceFile,
        author_key: str,
        incoming: Incoming,
        healed: Healed,
        started: dt.datetime,
    ) -> None:
        """Read a file: its records go to ``incoming``, or into quarantine."""
        arrival = started.astimezone(lake.constants.zone).date()
        for item in _records(source, file, lake, self.notes):
            self.records_in += 1
            self.held.add(file.name)
            if isinstance(item, Record):
                taken = incoming.take(item, file, file_of(source.name, file.known_as))
            else:
                taken = not incoming.forgotten.covers_refused(author_key, item.raw, item.review_id)
            if not taken:
                self.suppressed += 1
                self.spoiled.add(file.name)
                continue
            self.tally.records[file.name] += 1
            healed.see(file_of(source.name, file.known_as), item)
            if isinstance(item, Record):
                continue
            self._refused.append(_refused(item, source, arrival))
            self.quarantined += 1
            self.tally.refuse(item)
            if len(self._refused) >= BATCH:
                self.put_aside(lake)

    def put_aside(self, lake: Lake) -> None:
        """Bring into quarantine what was refused."""
        rows = pa.Table.from_pylist(self._refused, schema=QUARANTINE.arrow)
        self.newly_quarantined += quarantine(lake.storage, rows)
        self._refused.clear()


def _since(started: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - started).total_seconds()


def _emptied(lake: Lake) -> set[date]:
    """Days that readers see rows of, although no review is left in them."""
    seen = {day for day, release in lake.releases().items() if any(table.files for table in release.tables)}
    return seen - set(lake.snapshot(REVIEWS).days)


def check_source(source: Source, days: Sequence[date] | None = None) -> None:
    """Raises SourceError for a source of which nothing can be read: of its files, those before a sound one are read."""
    _parted(source, _listing(source, days).files, until_sound=True)


def _listing(source: Source, days: Sequence[date] | None) -> _Listed:
    some = tuple(days) if days and "{day}" in source.path else None
    found = [find(source.path, day) for day in some or [None]]
    return _Listed(
        tuple(file for each in found for file in each.files), tuple(one for each in found for one in each.aside), some
    )


def _known_files(lake: Lake, source: Source) -> KnownFiles:
    read_as = {
        "mapping": dict(source.mapping or {}),
        "encoding": source.encoding,
        "dates": source.dates,
        "mode": source.mode,
        "redact": sorted(source.redact),
        "hosts": sorted(source.hosts),
        "zone": lake.constants.zone.key,
    }
    return KnownFiles(lake, root_of(source.path), source.name, read_as)


def _parted(
    source: Source, chosen: Sequence[SourceFile], *, until_sound: bool = False, others: bool = False
) -> tuple[list[SourceFile], list[str]]:
    """The files that are sound to their end, and what is wrong with the others. Raises SourceError if none is sound.

    ``until_sound``: those up to the first that is sound. ``others``: the source has more files, which are sound.
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
    if damaged and not (sound or others):
        more = f" (nor can any other of the {len(damaged)} files be read)" if len(damaged) > 1 else ""
        raise SourceError(f"{damaged[0]}{more}")
    return sound, damaged


def _records(source: Source, file: SourceFile, lake: Lake, notes: Notes) -> Iterator[Record | RejectedRecord]:
    mapping, zone = source.mapping or {}, lake.constants.zone
    return read(file, mapping=mapping, timezone=zone, encoding=source.encoding, dates=source.dates, notes=notes)


def _no_record(source: Source, chosen: Sequence[SourceFile], records: int) -> Iterator[str]:
    """What is wrong with a source that is not blank, and of which no record was read."""
    if records or source.allow_empty:
        return
    for file in chosen:
        with file.path.open("rb") as stream:
            if stream.read(_HEAD).strip():
                yield f"{file.name} is not empty, and holds no record; if that is meant, say --allow-empty"
                return


def _seen(source: Source, listing: _Listed, filled: Collection[str], lake: Lake, tally: Tally) -> Seen:
    """What an ingest that has read these files knows of a source that is a snapshot.

    ``filled``: the names of those that held a record.
    """
    read_now = {file.name for file in listing.files}
    others = [file for file in files(source.path) if file.name not in read_now] if listing.some else []
    held = {file.known_as for file in listing.files if file.name in filled or source.allow_empty}

    def elsewhere(ids: Collection[str]) -> tuple[set[str], bool]:
        found: set[str] = set()
        sure = True
        try:
            for item in (item for file in others for item in _records(source, file, lake, Notes())):
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
        days=frozenset(listing.some) if listing.some else None,
        refused=frozenset(tally.ids),
        nameless=tally.nameless,
        elsewhere=elsewhere,
        allowed=source.allow_gone,
    )


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
