"""Keeping a lake small: old releases go, then the files that nothing needs any more. No data is changed.

Nothing young is removed: a run that is still at work has written files that no version names yet. What a release
needed that was retired now goes with the next maintenance, so that readers who have just opened it can finish.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, MODELS, QUARANTINE, RELEASES, RUNS
from otzyv.tasks.lake.delta.publish import FileWriter, commit, write_file
from otzyv.tasks.lake.delta.snapshot import DataFile, open_delta, read_batches, read_table
from otzyv.tasks.lake.delta.storage import PAGES, TEMPORARY, Storage
from otzyv.tasks.lake.features import artefacts, journal, row_cache
from otzyv.tasks.lake.lake import Lake
from otzyv.tasks.lake.records.blobs import BLOBS
from otzyv.tasks.lake.releases import Release, ReleasesLost, all_rows, by_day, current, lost, made

EVENTS = (RUNS, QUARANTINE, MODELS)
"""Tables that grow by a file with each run; of all others a day lies in one file."""
DAY = 24 * 3600.0
MANY = 8
"""So many files of one day become one; so many log entries become a checkpoint."""
_PAGE = re.compile(r"/\d{8}T\d{6}-[0-9a-f]{8}\.html$")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint")


LONGEST = 36_500
"""Days that anything is kept by its age: no lake is older, and dates end somewhere."""


class Keep(BaseModel):
    """What maintenance leaves alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    releases: int = Field(3, ge=1, description="the newest releases of each day, beside the one that readers see")
    days: int = Field(
        30, ge=0, le=LONGEST, description="releases, and what retired fits learned, younger than so many days"
    )
    page_days: int = Field(
        90, ge=0, le=LONGEST, description="quality pages younger than so many days; the newest stays anyway"
    )
    run_days: int = Field(
        90, ge=1, le=LONGEST, description="runs in Prefect's database on this machine, ended less than so many days ago"
    )
    grace_hours: int = Field(
        24, ge=0, le=24 * LONGEST, description="files younger than this: longer than any ingest or run may take"
    )


@dataclass(frozen=True, slots=True)
class Maintained:
    """What was done. ``bytes``: of all files that were removed, but for those of logs.

    ``answers``: files of a paid API's, which no run has come to use; ``artefacts``: of retired fits; ``runs``: old ones
    in Prefect's database on this machine.
    """

    retired: int
    compacted: int
    data_files: int
    blobs: int
    temporary: int
    staged: int
    answers: int
    pages: int
    artefacts: int
    checkpoints: int
    bytes: int
    runs: int = 0


def maintain(lake: Lake, keep: Keep | None = None) -> Maintained:
    """Retire releases, join small files, remove what nothing needs, and shorten the tables' logs.

    Raises TornLog or CorruptFile where what is needed can't be told, and ReleasesLost where damaged releases lie set
    aside; nothing more is then removed.
    """
    keep, storage = keep or Keep(), lake.storage
    if damaged := lost(storage):
        raise ReleasesLost(
            f"releases of {lake.uri} were damaged, and nobody can tell which files they named; so none is removed. "
            f"Once none of them is wanted back, remove {', '.join(map(storage.at, damaged))}, then maintain again"
        )
    before = [release for releases in lake.history().values() for release in releases]
    retired = _retire(lake, keep)
    compacted = sum(_compact(lake, table) for table in EVENTS)
    removed = _Removal(storage, time.time() - keep.grace_hours * 3600)
    data_files = removed.all(_unnamed(lake, keep, before))
    blobs = removed.all(_unreferenced(lake, removed.older, before))
    temporary = removed.all(_temporary(storage)) if not storage.remote else 0
    staged = removed.all(row_cache.dead(storage), older=time.time() - row_cache.KEPT)
    # A run clears those of its own fingerprint alone: of a model that nobody asks any more they would stay.
    answers = removed.all(storage.changed(journal.FOLDER), older=time.time() - journal.KEPT)
    pages = removed.all(_pages(storage), older=time.time() - keep.page_days * DAY)
    artefacts = removed.all(_unused(lake, before), older=min(removed.older, time.time() - keep.days * DAY))
    for folder in (*lake.tables(), BLOBS, row_cache.STAGING, journal.FOLDER):
        storage.prune(folder)
    checkpoints = sum(_shorten(lake, table) for table in lake.tables())
    return Maintained(retired, compacted, data_files, blobs, temporary, staged, answers, pages, artefacts,
                      checkpoints, removed.bytes)  # fmt: skip


class _Removal:
    """Removes files that have not changed for a while, and counts their bytes."""

    def __init__(self, storage: Storage, older: float) -> None:
        self._storage = storage
        self.older = older
        self.bytes = 0

    def all(self, paths: Iterable[str], older: float | None = None) -> int:
        count = 0
        for path in paths:
            size = self._storage.size(path)
            # Looked at again at the last moment: a blob may have been put once more.
            if size is None or self._storage.changed_at(path) > (self.older if older is None else older):
                continue
            self._storage.delete(path)
            self.bytes += size
            count += 1
        return count


def _retire(lake: Lake, keep: Keep) -> int:
    """Leave in ``releases`` the rows of kept ones; returns how many have gone."""
    snapshot = lake.snapshot(RELEASES)
    rows = all_rows(lake.storage, snapshot)
    kept = {release.release_id for releases in by_day(rows).values() for release in _kept(releases, keep)}
    known = set(rows["release_id"].to_pylist())
    left = rows.filter(pc.is_in(rows["release_id"], pa.array(sorted(kept), pa.string())))
    if left.num_rows == rows.num_rows and len(snapshot.files) < MANY:
        return 0
    file = write_file(lake.storage, RELEASES, None, left)
    done = file is not None and commit(lake.storage, snapshot, [None], [file]) == "published"
    return len(known - kept) if done else 0  # else a run has released meanwhile: next time


def _kept(releases: Sequence[Release], keep: Keep) -> Iterator[Release]:
    """Of a day's releases, oldest first: the newest, the young, and those that decide what a run has to do."""
    young = datetime.now(UTC) - timedelta(days=keep.days)
    needed = {releases[-1], current(releases), made(releases), *releases[-keep.releases :]}
    yield from (release for release in releases if release in needed or release.created_at > young)


def _compact(lake: Lake, table: Table) -> int:
    """Put days that lie in many files into one each; returns how many files have become fewer."""
    fewer = 0
    for day in {file.day for file in lake.snapshot(table).files}:
        snapshot = lake.snapshot(table)
        files = snapshot.of(day)
        if len(files) < MANY:
            continue
        with FileWriter(lake.storage, table, day) as writer:
            for batch in read_batches(lake.storage, table, files):
                writer.write(batch)
            file = writer.close()
        if file and commit(lake.storage, snapshot, [day], [file]) == "published":
            fewer += len(files) - 1
    return fewer


def _unnamed(lake: Lake, keep: Keep, before: Sequence[Release]) -> Iterator[str]:
    """Data files that are in no version for long enough, and in no release."""
    found: list[str] = []
    for table in lake.tables():
        snapshot = lake.snapshot(lake.table(table))
        if snapshot.version >= 0:
            gone = open_delta(lake.storage, snapshot).vacuum(
                keep.grace_hours, dry_run=True, enforce_retention_duration=False, full=True
            )
            found += [f"{table}/{path}" for path in gone]
    # Read after the files were listed: a release made meanwhile names only what stood in a version just now.
    named = {path for release in (*before, *_all(lake)) for table in release.tables for path in table.files}
    yield from (path for path in found if path not in named)


def _unreferenced(lake: Lake, older: float, before: Sequence[Release]) -> Iterator[str]:
    """Blobs that no attachment of the lake or of a release has, and that no ingest is about to give one."""
    old = [path for path, changed in lake.storage.changed(BLOBS).items() if changed <= older]
    if not old:
        return
    paths = {file.path for file in lake.snapshot(ATTACHMENTS).files}
    for release in (*before, *_all(lake)):
        paths |= set(release.by_name[ATTACHMENTS.name].files if ATTACHMENTS.name in release.by_name else ())
    needed: set[str] = set()
    for path in sorted(paths):
        rows = read_table(lake.storage, ATTACHMENTS, [DataFile(path, 0, 0, date.min)], ["content_sha256"])
        needed.update(rows["content_sha256"].to_pylist())
    yield from (path for path in old if path.rpartition("/")[2] not in needed)


def _all(lake: Lake) -> Iterator[Release]:
    for releases in lake.history().values():
        yield from releases


def _temporary(storage: Storage) -> list[str]:
    """Files that a process which died had not finished."""
    return [path for path in storage.changed("") if TEMPORARY.search(path)]


def _pages(storage: Storage) -> list[str]:
    """Quality pages, but for the newest: a run that changes nothing shows it."""
    return [path for path in storage.files(PAGES) if _PAGE.search(path)][:-1]


def _unused(lake: Lake, before: Sequence[Release]) -> list[str]:
    """What retired fits learned and no row that stands or is released was made with; nothing where that is unknown."""
    fits = artefacts.fitted(lake.storage)
    retired = {fit.sha256 for fit in fits} - {fit.sha256 for fit in fits if fit.state != "retired"}
    if not retired:
        return []
    try:
        used = artefacts.behind(lake.storage, _fingerprints(lake, [*before, *_all(lake)]))
    except FileNotFoundError:
        return []
    return [artefacts.artefact_path(sha256) for sha256 in sorted(retired - used)]


def _fingerprints(lake: Lake, released: Sequence[Release]) -> Iterator[str]:
    """Of every feature row; an empty one, behind which is nothing, where a file or a release does not tell it."""
    for table in map(lake.table, lake.tables()):
        if not {"review_id", "fingerprint"} <= {*table.names}:  # the runs' fingerprints are of rows that may be gone
            continue
        yield from (file.fingerprint or "" for file in lake.snapshot(table).files)
        known = (release.by_name[table.name] for release in released if table.name in release.by_name)
        yield from (each.fingerprint or "" for each in known if each.files)


def _shorten(lake: Lake, table: str) -> bool:
    """Put a table's state into a checkpoint once its log is long, and drop entries older than Delta keeps them."""
    snapshot = lake.snapshot(lake.table(table))
    if snapshot.version < 0:
        return False
    log = lake.storage.files(f"{table}/_delta_log")
    last = max((int(found[1]) for path in log if (found := _CHECKPOINT.search(path))), default=0)
    if snapshot.version - last < MANY:
        return False
    handle = open_delta(lake.storage, snapshot)
    handle.create_checkpoint()
    handle.cleanup_metadata()
    return True
