"""Releases: the one row that makes a day's tables visible together.

What a day's rows say together, in the order of their sequence: readers see the newest that is not held. A run adds
``released`` or ``held``; a person adds ``approved`` (the held release as it is) or ``rolled back`` (an earlier release
is current again). A rollback pins the day: readers keep what it shows until a person approves what a run has made
since, or rolls the day back to another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import LakeError, NotFound
from otzyv.schemas.table import Table
from otzyv.schemas.tables import RELEASES
from otzyv.tasks.lake.delta.publish import commit, commit_rows, write_file
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, logged_sizes, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import ASIDE, Storage
from otzyv.tasks.lake.features.contents import run_key

MOST_FILES = 50
"""In how many files the rows of ``releases`` may lie."""
SHOWN, SHORTEST = 12, 6
"""How many digits of a release's id are shown, and how many at least must be given to name one."""


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What a table's day was made of, by the digest of its contents, and how many rows ended in which status."""

    inputs: str
    status: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ReleasedTable:
    """One table of a release: the files that hold the day.

    ``made``: what the run told of it, None where none did.
    """

    table: str
    fingerprint: str | None
    run_key: str | None
    files: tuple[str, ...]
    made: MadeOf | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Release:
    """One day as readers see it, saw it, or would see it. ``reason``: as in the table ``releases``."""

    release_id: str
    day: date
    sequence: int
    verdict: str
    tables: tuple[ReleasedTable, ...]
    created_at: datetime
    reason: str | None = None

    @property
    def visible(self) -> bool:
        """Whether readers see it while it is the newest that is visible."""
        return self.verdict != "held"

    @property
    def by_name(self) -> dict[str, ReleasedTable]:
        return {table.table: table for table in self.tables}

    def table(self, name: str) -> ReleasedTable:
        if name in self.by_name:
            return self.by_name[name]
        raise NotFound(f"the release of {self.day} has no table {name!r}; it has: {', '.join(sorted(self.by_name))}")


class NoSuchRelease(LakeError, LookupError):
    """No release, or none that can be made current, is what was asked for."""


class MixedDay(LakeError):
    """Tables of a day stand that were not made of the same inputs: readers would join two editions of a review."""

    def __init__(self, day: date, tables: Collection[str]) -> None:
        self.tables = tuple(sorted(tables))
        super().__init__(
            f"{day}: {', '.join(self.tables)} were not made of the reviews and attachments the day has now"
        )


class ReleasesLost(LakeError):
    """Rows of ``releases`` were damaged: nobody can tell which files they named, so none may go."""


def lost(storage: Storage) -> list[str]:
    """Damaged files of the table that lie set aside. Until a person removes them, what they named is kept."""
    return [path for path in storage.files(f"{ASIDE}/{RELEASES.name}") if path.endswith(".parquet")]


def history(storage: Storage, days: Sequence[date] | None = None) -> dict[date, tuple[Release, ...]]:
    """All releases of each day that has any, oldest first; of all days where none are given."""
    return by_day(all_rows(storage, open_snapshot(storage, RELEASES)), days)


def all_rows(storage: Storage, snapshot: Snapshot) -> pa.Table:
    """The rows of ``releases``. Each file is read once: all of them are looked at for each day that is released."""
    return pa.concat_tables([RELEASES.arrow.empty_table(), *(_in_file(storage, file.path) for file in snapshot.files)])


@lru_cache(maxsize=MOST_FILES)
def _in_file(storage: Storage, path: str) -> pa.Table:
    return read_table(storage, RELEASES, [DataFile(path, 0, 0, None)])


def by_day(rows: pa.Table, days: Sequence[date] | None = None) -> dict[date, tuple[Release, ...]]:
    """Rows of ``releases`` as ``history`` gives them."""
    if days is not None:
        rows = rows.filter(pc.is_in(rows["released_day"], pa.array(days, pa.date32())))
    found: dict[date, tuple[Release, ...]] = {}
    for row in rows.sort_by([("released_day", "ascending"), ("sequence", "ascending")]).to_pylist():
        release = _release(row)
        found[release.day] = (*found.get(release.day, ()), release)
    return found


def current(releases: Sequence[Release]) -> Release | None:
    """Of a day's releases, oldest first, the one that readers see."""
    return next((release for release in reversed(releases) if release.visible), None)


def made(releases: Sequence[Release]) -> Release | None:
    """Of a day's releases, oldest first, the newest that no rollback made: the tables as the last run left them."""
    return next((release for release in reversed(releases) if release.verdict != "rolled back"), None)


def _pinned(releases: Sequence[Release]) -> str | None:
    """Why a new release of the day waits for a person, where one has rolled the day back."""
    now = current(releases)
    return (
        f"a person rolled the day back on {now.created_at:%Y-%m-%d}" if now and now.verdict == "rolled back" else None
    )


def waiting(known: Mapping[date, Sequence[Release]]) -> dict[date, str]:
    """Days whose newest release is held, and why: readers keep what they had until a person has looked."""
    newest = {day: releases[-1] for day, releases in known.items()}
    return {day: str(release.reason) for day, release in newest.items() if not release.visible}


def latest(storage: Storage, days: Sequence[date] | None = None) -> dict[date, Release]:
    """The release that readers see of each day that has one; of all days where none are given."""
    seen = {day: current(releases) for day, releases in history(storage, days).items()}
    return {day: release for day, release in seen.items() if release}


def find(storage: Storage, release_id: str) -> Release:
    """The release of that id, or of the one id that begins so. Raises NoSuchRelease."""
    known = [release for releases in history(storage).values() for release in releases]
    found = [release for release in known if release.release_id.startswith(release_id)]
    if len(found) == 1 and len(release_id) >= SHORTEST:
        return found[0]
    why = f"{len(found)} ids begin so" if len(found) > 1 else "no id begins so" if not found else "too short"
    raise NoSuchRelease(f"no release {release_id!r} ({why}); `otzyv releases --lake {storage.uri}` lists them")


def released_files(storage: Storage, table: Table, day: date) -> Iterator[DataFile]:
    """The files of a table's day that any release has named and that are still there."""
    snapshot = open_snapshot(storage, RELEASES)
    rows = all_rows(storage, snapshot).select(["released_day", "tables"]).to_pylist()
    named = {
        path: known["fingerprint"]
        for row in rows
        if row["released_day"] == day
        for known in row["tables"]
        if known["table"] == table.name
        for path in known["files"]
    }
    for path, fingerprint in named.items():
        size = storage.size(path)
        if size is not None:
            yield DataFile(path, size, 0, day, fingerprint=fingerprint)


Held = Callable[[date, Sequence[ReleasedTable], Mapping[date, Release]], str | None]
"""Why a person must look at a day with these tables first, None if that need not be; beside releases to be made."""
Mixed = Callable[[date, Mapping[str, ReleasedTable], Release | None], Collection[str]]
"""Which tables of a day were not made of what is named beside them; with what the last run released or held of it."""


def release_day(
    storage: Storage,
    day: date,
    tables: Sequence[Table],
    *,
    held: Held = lambda *_: None,
    mixed: Mixed = lambda *_: (),
    told: Mapping[tuple[str, date], MadeOf] = MappingProxyType({}),
) -> Release | None:
    """One day as ``release_days`` releases it. Raises MixedDay."""
    ended = release_days(storage, [day], tables, held=held, mixed=mixed, told=told)[day]
    if isinstance(ended, MixedDay):
        raise ended
    return ended


def release_days(
    storage: Storage,
    days: Sequence[date],
    tables: Sequence[Table],
    *,
    held: Held = lambda *_: None,
    mixed: Mixed = lambda *_: (),
    told: Mapping[tuple[str, date], MadeOf] = MappingProxyType({}),
    note: str | None = None,
) -> dict[date, Release | MixedDay | None]:
    """Release days with their tables as they stand now, a row for each, in one commit.

    None for a day of which the last run released or held the same already. Tables of a former release that are not
    asked for go on in the new one unless they are ``mixed``; where one that is asked for is, the day is a MixedDay, and
    readers keep what they had. ``held`` is asked where tables are new, or are those of a held release; the earlier day
    comes first. A day that a person has rolled back is held as well. ``told``: what tables were made of, as far as the
    caller knows it; a release that does not tell it is repeated with it, unseen by readers. ``note``: what the rows
    say beside why they are held.
    """
    while True:
        # Opened before the tables are read: a release made meanwhile refuses these, and they are decided again.
        snapshot = open_snapshot(storage, RELEASES)
        rows = all_rows(storage, snapshot)
        known = by_day(rows, days)
        snapshots = [open_snapshot(storage, table) for table in tables]
        ended: dict[date, Release | MixedDay | None] = {}
        new: dict[date, Release] = {}
        for day in sorted(days):
            stand = {each.table.name: _told(current_files(each.table, each.of(day)), day, told) for each in snapshots}
            found = _next_release(day, known.get(day, ()), stand, new, held, mixed, note)
            ended[day] = None if isinstance(found, _Repeated) else found
            if isinstance(found, _Repeated):
                new[day] = found.release
            elif isinstance(found, Release):
                new[day] = found
        if not new or _append(storage, snapshot, rows, list(new.values())):
            return ended


@dataclass(frozen=True, slots=True)
class _Repeated:
    """A release as it was, which tells more."""

    release: Release


def _next_release(
    day: date,
    releases: Sequence[Release],
    stand: Mapping[str, ReleasedTable],
    new: Mapping[date, Release],
    held: Held,
    mixed: Mixed,
    note: str | None,
) -> Release | MixedDay | _Repeated | None:
    newest, last = releases[-1] if releases else None, made(releases)
    if newest is None and not any(table.files for table in stand.values()):
        return None
    same = last is not None and {**last.by_name, **stand} == last.by_name
    if last is not None and same and newest is not None and newest.visible:
        untold = any(table.made and not last.by_name[name].made for name, table in stand.items())
        if newest is not last or not untold:
            return None
        tables = [stand.get(table.table, table) for table in last.tables]
        return _Repeated(_next(releases, day, tables, last.verdict, last.reason))
    named = {**(newest.by_name if newest else {}), **stand}
    wrong = mixed(day, named, last)
    if not stand.keys().isdisjoint(wrong):
        return MixedDay(day, stand.keys() & {*wrong})
    now = [named[name] for name in sorted(named) if name not in wrong]
    reason = "; ".join(filter(None, (_pinned(releases), held(day, now, new)))) or None
    if same and reason:
        return None
    return _next(releases, day, now, "held" if reason else "released", "; ".join(filter(None, (reason, note))) or None)


def approve(storage: Storage, day: date) -> Release:
    """Let readers see the held release of a day, as a person has seen it. Raises NoSuchRelease."""
    seen = history(storage, [day]).get(day, ())
    if not seen or seen[-1].visible:
        raise NoSuchRelease(f"{day} is not held; {_listed(seen)}")
    return _make_current(storage, seen[-1], "approved", seen[-1].reason)


def rollback(storage: Storage, target: date | str) -> Release:
    """Make an earlier release current: of a day the one before what readers see now, or the one of an id.

    Rolled back again, a day goes on to the release before that. Raises NoSuchRelease where there is none.
    """
    release = _before(storage, target) if isinstance(target, date) else find(storage, target)
    seen = history(storage, [release.day])[release.day]
    now = current(seen)
    if not release.visible:
        raise NoSuchRelease(f"release {release.release_id[:SHOWN]} of {release.day} was held: no reader has seen it")
    if now and now.tables == release.tables:
        raise NoSuchRelease(f"readers of {release.day} see release {release.release_id[:SHOWN]} already")
    return _make_current(storage, release, "rolled back", release.release_id)


def _before(storage: Storage, day: date) -> Release:
    releases = history(storage, [day]).get(day, ())
    now = current(releases)
    while now and now.verdict == "rolled back":
        now = next((release for release in releases if release.release_id == now.reason), None)
    older = [each for each in releases if now and each.sequence < now.sequence and each.visible]
    target = next((each for each in reversed(older) if now and each.tables != now.tables), None)
    if target is None:
        raise NoSuchRelease(f"no earlier release of {day} is kept; {_listed(releases)}")
    return target


def _make_current(storage: Storage, release: Release, verdict: str, reason: str | None) -> Release:
    _check_files(storage, release)
    while True:
        snapshot = open_snapshot(storage, RELEASES)
        rows = all_rows(storage, snapshot)
        releases = by_day(rows, [release.day])[release.day]
        if verdict == "approved" and releases[-1] != release:
            raise NoSuchRelease(f"{release.day} has another release than the one to approve; {_listed(releases)}")
        new = _next(releases, release.day, release.tables, verdict, reason)
        if _append(storage, snapshot, rows, [new]):
            return new


def _check_files(storage: Storage, release: Release) -> None:
    """Raises NoSuchRelease if a file of the release is gone, or has not the size that the log tells."""
    told = f"release {release.release_id[:SHOWN]} of {release.day}"
    for table in (table for table in release.tables if table.files):
        logged = logged_sizes(storage, table.table, table.files)
        for path in table.files:
            size = storage.size(path)
            if size is None:
                raise NoSuchRelease(f"{told} is gone: no file {storage.at(path)}")
            if size != logged.get(path, size):
                raise NoSuchRelease(
                    f"{told} is damaged: {storage.at(path)} has {size} bytes, {logged[path]} were written. "
                    f"`otzyv releases --lake {storage.uri} --day {release.day}` lists the others, and "
                    f"`otzyv doctor --lake {storage.uri} --repair` repairs what remains"
                )


def retire(
    storage: Storage,
    holds: Callable[[str], bool],
    without: Callable[[Release, ReleasedTable], ReleasedTable],
) -> int:
    """Take every release that names a file which ``holds`` out of the table; returns how many there were.

    What readers see of its day, what the last run made and what waits for a person go on, each ``without``.
    """
    while True:
        snapshot = open_snapshot(storage, RELEASES)
        kept: list[Release] = []
        retired = 0
        for day, releases in by_day(all_rows(storage, snapshot)).items():
            hit = {r.release_id for r in releases if any(holds(path) for table in r.tables for path in table.files)}
            ends = (current(releases), made(releases), releases[-1])
            going_on = {release.release_id for release in ends if release and hit}
            retired += len(hit)
            kept += [release for release in releases if release.release_id not in hit | going_on]
            added = releases
            for release in (release for release in releases if release.release_id in going_on):
                tables = [without(release, table) for table in release.tables]
                kept.append(_next(added, day, tables, release.verdict, release.reason))
                added = (*added, kept[-1])
        if not retired:
            return 0
        file = write_file(storage, RELEASES, None, pa.concat_tables([_row(release) for release in kept]))
        if file and commit(storage, snapshot, [None], [file]) == "published":
            return retired


def _listed(releases: Sequence[Release]) -> str:
    told = ", ".join(f"{release.release_id[:SHOWN]} {release.verdict}" for release in releases)
    return f"its releases are: {told}" if told else "it has no release"


def _next(
    releases: Sequence[Release], day: date, tables: Sequence[ReleasedTable], verdict: str, reason: str | None
) -> Release:
    sequence = releases[-1].sequence + 1 if releases else 1
    return Release(_id(day, tables, sequence), day, sequence, verdict, tuple(tables), datetime.now(UTC), reason)


def _append(storage: Storage, snapshot: Snapshot, rows: pa.Table, new: Sequence[Release]) -> bool:
    """Add rows; in one file with all there are once these lie in many, so that reading them stays cheap."""
    added = pa.concat_tables([_row(release) for release in new])
    if len(snapshot.files) < MOST_FILES:
        return commit_rows(storage, snapshot, added)
    file = write_file(storage, RELEASES, None, pa.concat_tables([rows, added]))
    return file is not None and commit(storage, snapshot, [None], [file]) == "published"


def current_files(table: Table, files: Sequence[DataFile]) -> ReleasedTable:
    """A table's day as a release would name it."""
    prints = {file.fingerprint for file in files}
    keys = {file.run_key for file in files}
    return ReleasedTable(
        table.name,
        next(iter(prints)) if len(prints) == 1 else None,
        next(iter(keys)) if len(keys) == 1 else None,
        tuple(sorted(file.path for file in files)),
    )


def _told(table: ReleasedTable, day: date, told: Mapping[tuple[str, date], MadeOf]) -> ReleasedTable:
    """The table with what it was made of, if it was made of that."""
    made = told.get((table.table, day))
    if made is None or (table.files and not made_of(table, day, made.inputs)):
        return table
    return replace(table, made=made)


def made_of(table: ReleasedTable, day: date, inputs: str) -> bool:
    """Whether a table's day was made of contents with this digest, whole or not."""
    wholes = (True, False)
    return any(
        table.run_key == run_key(table.table, day, inputs, str(table.fingerprint), whole=each) for each in wholes
    )


def _id(day: date, tables: Sequence[ReleasedTable], sequence: int) -> str:
    said = [day.isoformat(), sequence, [[t.table, t.fingerprint, t.run_key, t.files] for t in tables]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _counts(status: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"status": name, "rows": rows} for name, rows in status.items()]


def _row(release: Release) -> pa.Table:
    tables = [
        {"table": t.table, "fingerprint": t.fingerprint, "run_key": t.run_key, "files": list(t.files)}
        for t in release.tables
    ]
    row = {
        "release_id": release.release_id,
        "released_day": release.day,
        "sequence": release.sequence,
        "created_at": release.created_at,
        "verdict": release.verdict,
        "reason": release.reason,
        "tables": tables,
        "made": [
            {"table": t.table, "inputs": t.made.inputs, "status": _counts(t.made.status)}
            for t in release.tables
            if t.made
        ],
    }
    return pa.Table.from_pylist([row], schema=RELEASES.arrow)


def _release(row: dict[str, Any]) -> Release:
    made = {
        told["table"]: MadeOf(told["inputs"], {each["status"]: each["rows"] for each in told["status"]})
        for told in row["made"] or ()
    }
    tables = tuple(
        ReleasedTable(t["table"], t["fingerprint"], t["run_key"], tuple(t["files"]), made.get(t["table"]))
        for t in row["tables"]
    )
    return Release(
        row["release_id"],
        row["released_day"],
        row["sequence"],
        row["verdict"],
        tables,
        row["created_at"],
        row["reason"],
    )
