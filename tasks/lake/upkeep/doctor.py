"""Finding and mending what a crash, a bad disk or a hand can leave in a lake.

Nothing damaged is deleted: it is moved to ``_aside/``. A day with a damaged file is taken out of its table's newest
version, so that the run or ingest which is named makes it again; until then readers are told, and see no fewer rows
than they should without a word.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pyarrow.compute as pc
from deltalake.exceptions import DeltaError
from isal import isal_zlib

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, MODELS, QUALITY, QUARANTINE, RELEASES, REVIEWS, RUNS
from otzyv.tasks.lake.config import FILE, DamagedConstants, FormerFormat, bring_to_format, read
from otzyv.tasks.lake.delta.publish import take_out
from otzyv.tasks.lake.delta.snapshot import (
    BrokenSeal,
    CorruptFile,
    DataFile,
    Snapshot,
    TornLog,
    log_entry,
    open_delta,
    open_state,
    read_table,
    torn_entries,
)
from otzyv.tasks.lake.delta.storage import ASIDE, CRC, TEMPORARY, Storage
from otzyv.tasks.lake.features import artefacts, row_cache
from otzyv.tasks.lake.features.artefacts import IDENTITIES
from otzyv.tasks.lake.lake import Lake
from otzyv.tasks.lake.records.blobs import blob_path
from otzyv.tasks.lake.releases import Release, current, lost
from otzyv.tasks.lake.upkeep.repair import mend_constants, mend_log, mend_named, readable, seal_log, unsealed

GRACE = 24 * 3600.0
"""Seconds for which a file that belongs to nothing may be a run's that is still at work."""
MOST_SAID = 300
"""Characters of an error of deltalake's: it may go on for pages."""
SOURCES = (REVIEWS.name, ATTACHMENTS.name, QUARANTINE.name)
"""Tables that an ingest makes."""

What = Literal["torn log", "damaged log", "unreadable log", "former format", "missing table", "orphan",
               "temporary file", "staged chunk",
               "missing file", "wrong size", "wrong bytes", "set aside", "mixed day", "dead run"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong and where. ``done``: what was done about it, empty without; ``todo``: what a person should do.

    ``repaired``: nothing is left to find. What is to be run makes again what was taken out.
    """

    what: What
    where: str
    done: str = ""
    todo: str = ""
    repaired: bool = False


def examine(lake: Lake, *, repair: bool = False, deep: bool = False, grace: float = GRACE) -> Iterator[Finding]:
    """Every fault of a lake. ``deep`` reads every file and compares its bytes with the checksum in its name.

    With ``repair`` each is mended as it is found, as far as nothing is lost by it.
    """
    yield from _set_aside(lake)
    yield from _missing_tables(lake)
    for name in _tables(lake):
        logs = list(_log(lake, name, repair=repair))
        yield from logs
        if all(found.repaired for found in logs) and name in lake.tables():
            yield from _data(lake, name, repair=repair, deep=deep)
            yield from _orphans(lake, name, repair=repair, older=time.time() - grace)
    yield from _blobs(lake, repair=repair, deep=deep)
    yield from _artefacts(lake, repair=repair, deep=deep)
    yield from _identities(lake, repair=repair, deep=deep)
    yield from _loose(lake, repair=repair, grace=grace)


def _tables(lake: Lake) -> list[str]:
    """Each table before those that are made of it, so that what is to be run is named in that order."""
    first = [RELEASES.name, REVIEWS.name, ATTACHMENTS.name]
    return sorted(lake.tables(), key=lambda name: (first.index(name) if name in first else len(first), name))


def _missing_tables(lake: Lake) -> Iterator[Finding]:
    """Tables whose folder or log is gone, although readers see rows of them."""
    with suppress(TornLog, CorruptFile, DeltaError):  # damaged releases are told of themselves
        for name, days in lake.lost().items():
            made = f"otzyv features --lake {lake.uri} --from {days[0]} --to {days[-1]} --extractors {name}"
            todo = f"bring it back from a backup, or: {_ingest(lake) if name in SOURCES else made}"
            yield Finding("missing table", lake.storage.at(name), todo=todo)


def constants_of(storage: Storage, *, repair: bool = False) -> Iterator[Finding]:
    """What is wrong with the file of a lake's constants, without which no lake opens; a former format is brought to
    this one.
    """
    where = storage.at(FILE)
    try:
        read(storage)
    except DamagedConstants:
        done = mend_constants(storage) if repair else ""
        backup = "bring it back from a backup" if repair else f"otzyv doctor --lake {storage.uri} --repair"
        yield Finding("wrong bytes", where, done or "", "" if done else backup, bool(done))
    except FormerFormat as former:
        if not repair:
            yield Finding("former format", where, todo=str(former))
            return
        names = [name for name in storage.folders() if storage.files(f"{name}/_delta_log")]
        for name in names:
            if unsealed(storage, name) and (wrong := seal_log(storage, name)):
                yield Finding("damaged log", storage.at(f"{name}/_delta_log"), todo=f"can't be sealed: {wrong}")
                return
        bring_to_format(storage)
        yield Finding("former format", where, f"sealed the logs of {len(names)} tables", repaired=True)


def _log(lake: Lake, name: str, *, repair: bool) -> Iterator[Finding]:
    """Entries that are empty or cut off, and logs that do not tell what their seals say.

    One flipped bit is turned round. A newest entry that is not whole is else moved aside: what a crash has cut off,
    nobody was told of.
    """
    where = lake.storage.at(f"{name}/_delta_log")
    try:
        if open_state(lake.storage, name) is not None:
            return
    except BrokenSeal:
        sealed = not unsealed(lake.storage, name)
        if repair:
            done = mend_log(lake.storage, name) if sealed else []
            if not sealed:
                wrong = seal_log(lake.storage, name)
                done = [] if wrong else ["another program had written to it; sealed as it stands"]
            if done and readable(lake.storage, name):
                yield Finding("damaged log", where, "; ".join(done), repaired=True)
                return
            yield Finding("damaged log", where, todo=_log_anew(lake, name))
        else:
            yield Finding("damaged log", where, todo=_repair(lake))
        return
    except TornLog:
        if repair and (done := mend_log(lake.storage, name)) and readable(lake.storage, name):
            yield Finding("damaged log", where, "; ".join(done), repaired=True)
            return
    for version, last in torn_entries(lake.storage, name):
        path = log_entry(name, version)
        if not last:
            told = f"commits after it were acknowledged: {_log_anew(lake, name)}"
            yield Finding("torn log", lake.storage.at(path), todo=told)
        elif repair:
            aside = lake.storage.move(path, f"{ASIDE}/{path}-{time.time_ns()}")
            again = f"; if no crash has cut it off, also: {_ingest(lake)}" if name in SOURCES else ""
            told = f"run again what wrote it{again}"
            yield Finding("torn log", lake.storage.at(path), f"moved to {aside}", told, True)
        else:
            yield Finding("torn log", lake.storage.at(path), todo=_repair(lake))
    if name not in lake.tables() or any(torn_entries(lake.storage, name)):
        return
    try:
        lake.snapshot(lake.table(name))
    except (TornLog, DeltaError) as error:
        said = str(error).splitlines()[0].partition(". otzyv doctor")[0][:MOST_SAID]
        yield Finding("unreadable log", where, todo=f"{_log_anew(lake, name)} ({said})")


def _data(lake: Lake, name: str, *, repair: bool, deep: bool) -> Iterator[Finding]:
    """Files of the newest version and of what readers see that are not as they were written."""
    table = lake.table(name)
    snapshot = lake.snapshot(table)
    active = {file.path: file for file in snapshot.files}
    seen = list(_seen(lake))
    for file in active.values():
        what = _fault(lake, file.path, file.size, deep=deep)
        if what is None:
            continue
        where = lake.storage.at(file.path)
        if not repair or table.name == MODELS.name:
            todo = _repair(lake) if table.name != MODELS.name else "bring it back from a backup, or fit again"
            yield Finding(what, where, todo=todo)
            continue
        done = _retire(lake, lake.snapshot(table), file)
        # What a source or a person brought can't be made from the lake, and readers see the file until the day is
        # made again: the doctor goes on saying so.
        shown = any(file.path in each.files for _, release in seen for each in release.tables)
        repaired = table.name not in (*SOURCES, RELEASES.name) and not shown
        yield Finding(what, where, done, _remake(lake, table, file.day), repaired)
    for day, release in seen:
        for path in release.by_name[name].files if name in release.by_name else ():
            what = None if path in active else _fault(lake, path, None, deep=deep)
            if what is not None:
                # Only readers see it: a run that makes the day again releases other files, a rollback takes older ones.
                todo = f"{_remake(lake, table, day)}, or otzyv rollback {day} --lake {lake.uri}"
                yield Finding(what, lake.storage.at(path), todo=todo)


def _history(lake: Lake) -> Mapping[date, Sequence[Release]] | None:
    """All releases; None where their table is damaged, which is told of itself."""
    try:
        return lake.history()
    except (TornLog, CorruptFile, DeltaError):
        return None


def _seen(lake: Lake) -> Iterator[tuple[date, Release]]:
    """What readers see, as far as that can be told."""
    for day, releases in (_history(lake) or {}).items():
        if release := current(releases):
            yield day, release


def _fault(lake: Lake, path: str, size: int | None, *, deep: bool) -> What | None:
    there = lake.storage.size(path)
    if there is None:
        return "missing file"
    if size is not None and there != size:
        return "wrong size"
    wanted = CRC.search(path)
    if deep and wanted and isal_zlib.crc32(lake.storage.read(path)) != int(wanted[1], 16):
        return "wrong bytes"
    return None


def _retire(lake: Lake, snapshot: Snapshot, file: DataFile) -> str:
    """Take a damaged file's day out of the table's newest version; says what was done.

    A table of events keeps its other files: no run makes those again.
    """
    whole_day = "review_id" in snapshot.table.names or snapshot.table.name == QUALITY.name
    if take_out(lake.storage, snapshot, snapshot.of(file.day) if whole_day else [file]) != "published":
        return "another run has changed the day meanwhile"
    aside = "gone"
    if lake.storage.exists(file.path):
        aside = lake.storage.move(file.path, f"{ASIDE}/{file.path}")
    else:  # an empty one stands for it, and tells what was lost
        lake.storage.write(f"{ASIDE}/{file.path}", b"")
    told = f"{file.day} of {snapshot.table.name}" if whole_day else f"its {file.rows} rows of {snapshot.table.name}"
    return f"took {told} out; the file: {aside}"


def _remake(lake: Lake, table: Table, day: date | None) -> str:
    """The command that makes a day of a table again."""
    if table.name in SOURCES:
        return _ingest(lake)
    if table.name == RUNS.name:
        return "nothing: what those runs cost is not known any more"
    if table.name in (RELEASES.name, QUALITY.name) or day is None:
        return f"otzyv features --lake {lake.uri}"
    names = "" if table.name == "clean_text" else f" --extractors {table.name}"
    return f"otzyv features --lake {lake.uri} --day {day}{names}"


def _set_aside(lake: Lake) -> Iterator[Finding]:
    """Days of reviews that an earlier repair took out and no ingest has brought back; releases that it took out."""
    for path in lost(lake.storage):
        # The files which they named are kept as long.
        todo = f"{_remake(lake, RELEASES, None)}; once no earlier release is wanted back, remove the file"
        yield Finding("set aside", lake.storage.at(path), todo=todo)
    for path in lake.storage.changed(ASIDE):
        found = re.fullmatch(rf"{ASIDE}/({REVIEWS.name}|{ATTACHMENTS.name})/day=(\d{{4}}-\d\d-\d\d)/[^/]+", path)
        if found:
            table = lake.table(found[1])
            with suppress(TornLog, DeltaError):  # will be found: whether the day is there can't be told
                if date.fromisoformat(found[2]) not in lake.snapshot(table).days:
                    todo = f"{_remake(lake, table, None)}; then remove the file"
                    yield Finding("set aside", lake.storage.at(path), todo=todo)


def _orphans(lake: Lake, name: str, *, repair: bool, older: float) -> Iterator[Finding]:
    """Data files that no version has ever had, and no release. None where lost releases may have named them."""
    snapshot, history = lake.snapshot(lake.table(name)), _history(lake)
    if snapshot.version < 0 or history is None or lost(lake.storage):
        return
    gone = open_delta(lake.storage, snapshot).vacuum(0, dry_run=True, enforce_retention_duration=False)
    known = {file.path for file in lake.snapshot(lake.table(name)).files} | {f"{name}/{path}" for path in gone}
    files = [path for path in lake.storage.changed(name) if path.endswith(".parquet") and "/_delta_log/" not in path]
    for releases in history.values():
        known |= {path for each in releases for table in each.tables for path in table.files}
    for path in files:
        if path not in known and lake.storage.changed_at(path) < older:
            yield _removed(lake, "orphan", path, repair=repair)


def _blobs(lake: Lake, *, repair: bool, deep: bool) -> Iterator[Finding]:
    """Attached files that are gone or not as they were. They are moved aside: an ingest of their source puts them."""
    try:
        snapshot = lake.snapshot(ATTACHMENTS)
        rows = read_table(lake.storage, ATTACHMENTS, snapshot.files, ["content_sha256", "bytes", "status"])
    except (TornLog, CorruptFile, DeltaError):
        return  # was found before
    rows = rows.filter(pc.equal(rows["status"], "ok"))
    known = dict(zip(rows["content_sha256"].to_pylist(), rows["bytes"].to_pylist(), strict=True))
    for sha256, size in sorted(known.items()):
        path = blob_path(sha256)
        there = lake.storage.size(path)
        what: What | None = "missing file" if there is None else "wrong size" if there != size else None
        if deep and what is None and hashlib.sha256(lake.storage.read(path)).hexdigest() != sha256:
            what = "wrong bytes"
        if what is not None:
            moved = repair and there is not None
            done = f"moved to {lake.storage.move(path, f'{ASIDE}/{path}')}" if moved else ""
            yield Finding(what, lake.storage.at(path), done, _remake(lake, ATTACHMENTS, None))


def _artefacts(lake: Lake, *, repair: bool, deep: bool) -> Iterator[Finding]:
    """What extractors learned that is gone or not as it was. It is moved aside: the same fit gives the same bytes."""
    try:
        known = artefacts.fitted(lake.storage)
    except (TornLog, CorruptFile, DeltaError):
        return  # was found before
    for model in known:
        path, on = artefacts.artefact_path(model.sha256), model.fitted_on
        there = lake.storage.exists(path)
        if not there and model.state == "retired":
            continue  # maintenance removes them once they are old
        if there and not (deep and hashlib.sha256(lake.storage.read(path)).hexdigest() != model.sha256):
            continue
        done = f"moved to {lake.storage.move(path, f'{ASIDE}/{path}')}" if there and repair else ""
        todo = f"otzyv fit {model.name} --lake {lake.uri} --from {on['from']} --to {on['to']}"
        yield Finding("wrong bytes" if there else "missing file", lake.storage.at(path), done, todo)


def _identities(lake: Lake, *, repair: bool, deep: bool) -> Iterator[Finding]:
    """What tells what a fingerprint stands for and is not as it was. One bit is turned round, else it lies aside:
    nothing computed depends on it.
    """
    for path in lake.storage.files(IDENTITIES) if deep else ():
        fingerprint = path.rpartition("/")[2].removesuffix(".json")
        if hashlib.sha256(lake.storage.read(path)).hexdigest() == fingerprint:
            continue
        if repair:
            done = mend_named(lake.storage, path, fingerprint)
            done = done or f"moved to {lake.storage.move(path, f'{ASIDE}/{path}')}"
            yield Finding("wrong bytes", lake.storage.at(path), done, repaired=True)
        else:
            yield Finding("wrong bytes", lake.storage.at(path), todo=_repair(lake))


def _loose(lake: Lake, *, repair: bool, grace: float) -> Iterator[Finding]:
    """Unfinished files, and chunks that dead runs staged: what no version will ever name."""
    for path, changed in lake.storage.changed("").items():
        if TEMPORARY.search(path) and changed < time.time() - grace:
            yield _removed(lake, "temporary file", path, repair=repair)
    for path in row_cache.dead(lake.storage):
        if not TEMPORARY.search(path):
            yield _removed(lake, "staged chunk", path, repair=repair)


def _removed(lake: Lake, what: What, path: str, *, repair: bool) -> Finding:
    if not repair:
        return Finding(what, lake.storage.at(path), todo=_repair(lake))
    lake.storage.delete(path)
    return Finding(what, lake.storage.at(path), "removed", repaired=True)


def _log_anew(lake: Lake, name: str) -> str:
    made = _ingest(lake) if name in SOURCES else f"otzyv backfill --lake {lake.uri}"
    where = lake.storage.at(name)
    return f"bring it back from a backup, or make the table again: move {where} away, then {made}"


def _ingest(lake: Lake) -> str:
    return f"otzyv run --source SOURCE --lake {lake.uri}"


def _repair(lake: Lake) -> str:
    return f"otzyv doctor --lake {lake.uri} --repair"
