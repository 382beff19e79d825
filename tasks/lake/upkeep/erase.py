"""Erasing reviews: each row, file and line of a lake that holds them, of whatever version or release.

What is to be erased is found again in every run, in files of all versions, and the files that tell most are removed
last (a review's own row tells its id, its attachments' rows tell their blobs). So a run that died is completed by
running again, and nothing need be noted on the way.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, MODELS, QUALITY, QUARANTINE, RELEASES, REVIEWS, RUNS
from otzyv.tasks.lake.delta.publish import FileWriter, commit
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile, open_delta, open_snapshot, read_batches, read_table
from otzyv.tasks.lake.delta.storage import ASIDE, PAGES, TEMPORARY, Storage
from otzyv.tasks.lake.features.journal import FOLDER
from otzyv.tasks.lake.features.row_cache import STAGING
from otzyv.tasks.lake.lake import Lake
from otzyv.tasks.lake.records.blobs import BLOBS, blob_path
from otzyv.tasks.lake.records.suppression import keyed_author
from otzyv.tasks.lake.records.whose import Refused, caseless, has_id, has_words
from otzyv.tasks.lake.releases import MadeOf, Release, ReleasedTable, current_files, retire

REMOVED = "removed: it spoke of a review that was forgotten"
_NOBODYS = tuple(f"{table.name}/" for table in (RELEASES, QUALITY, MODELS))
_TELLING = {QUARANTINE.name: ["raw", "record_id"], RUNS.name: ["error"], REVIEWS.name: ["review_id", "author"]}
"""The columns that tell whose a row is, where it is not its review_id alone."""
ORPHANED = 24 * 3600.0
"""Seconds after which a blob that no row names is nobody's, where it can't be told whether an ingest goes on."""
Told = Callable[[Table, date, ReleasedTable], MadeOf | None]
"""What a day of a table that stands is made of, as a run would tell it; None where that can't be told."""
NewKey = Callable[[Table, date, Sequence[DataFile], pa.Array, Release | None], str]
"""The run key of a day of a table, as it stands or as it was released, once these reviews are out of it."""


@dataclass(frozen=True, slots=True)
class ErasureTarget:
    """What is to be erased: reviews by id, and an author's by the hashes of the name, and by the name in any case."""

    reviews: pa.Array
    hashes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    """``reviews``, for refused records and texts."""

    def rows(self, table: Table, batch: pa.RecordBatch | pa.Table) -> pa.Array:
        """Which rows are theirs, as booleans (n,)."""
        if table.name == QUARANTINE.name:
            rows = zip(batch["raw"].to_pylist(), batch["record_id"].to_pylist(), strict=True)
            return pa.array([self.refused(Refused(raw, review_id)) for raw, review_id in rows], pa.bool_())
        if table.name == RUNS.name:
            return pa.array([self.spoken_of(error or "") for error in batch["error"].to_pylist()], pa.bool_())
        found = pc.is_in(batch["review_id"], value_set=self.reviews)
        if table.name == REVIEWS.name and self.hashes:
            found = pc.or_(found, pc.is_in(batch["author"], value_set=pa.array(sorted(self.hashes), pa.string())))
        return found

    def refused(self, record: Refused) -> bool:
        """Whether a refused record is theirs."""
        return record.of_review(self.ids) or record.of_author(self.names)

    def spoken_of(self, text: str) -> bool:
        """Whether a text names them, by whatever they are known."""
        return has_id(text, self.ids) or has_words(text, self.names | self.hashes)


def erasure_target(lake: Lake, review: str | None, author: str | None, key: str) -> ErasureTarget:
    """A review, or all that an author ever wrote, as far as any file still tells.

    An author's refused records tell of reviews as well, unless the lake has them of somebody else.
    """
    found, others = {review} if review else set[str](), set[str]()
    names = frozenset({caseless(author)}) if author else frozenset[str]()
    hashes = frozenset(keyed_author(key, name) for name in spellings(author)) if author else frozenset[str]()
    if author:
        for review_id, hashed in _pairs(lake, REVIEWS):
            if hashed is not None:
                (found if hashed in hashes else others).add(review_id)
        for raw, review_id in _pairs(lake, QUARANTINE):
            record = Refused(raw, review_id)
            if record.of_author(names):
                found |= record.ids - others
    return ErasureTarget(pa.array(sorted(found), pa.string()), hashes, names, frozenset(found))


def _pairs(lake: Lake, table: Table) -> Iterator[tuple[Any, ...]]:
    """The two columns that tell whose the rows are."""
    for _, rows in _read(lake, table):
        if rows is not None:
            yield from zip(*(rows[name].to_pylist() for name in _TELLING[table.name]), strict=True)


def spellings(author: str) -> set[str]:
    """The ways to write a name of which ``reviews`` may keep the hash: as given, and in the usual cases."""
    return {author, author.lower(), author.upper(), author.title(), author.capitalize()}


def tables(lake: Lake) -> list[Table]:
    """The tables that may hold what is theirs, those made of others before those they were made of."""
    last = [QUARANTINE.name, RUNS.name, CLEAN_TEXT.name, ATTACHMENTS.name, REVIEWS.name]
    there = [lake.table(name) for name in lake.tables()]
    holding = [table for table in there if "review_id" in table.names or table.name in last]
    # A table of principal components comes before the one that it was made of: its name is the longer one.
    return sorted(holding, key=lambda t: (last.index(t.name) if t.name in last else -1, -len(t.name), t.name))


def data_files(lake: Lake, table: Table) -> list[DataFile]:
    """Every data file of a table that is there, in whatever version."""
    active = {file.path: file for file in lake.snapshot(table).files}
    there = lake.storage.changed(table.name)
    data = [path for path in there if path.endswith(".parquet") and "/_delta_log/" not in path]
    return [active.get(path) or DataFile(path, 0, 0, _day(path)) for path in sorted(data)]


def holding(lake: Lake, table: Table, who: ErasureTarget) -> dict[str, DataFile]:
    """Path -> file of every data file with rows of theirs. One that can't be read counts, unless it is in use."""
    read = _read(lake, table)
    return {file.path: file for file, rows in read if rows is None or pc.any(who.rows(table, rows)).as_py()}


def _read(lake: Lake, table: Table) -> Iterator[tuple[DataFile, pa.Table | None]]:
    """Every data file, with what tells whose its rows are; None of one that is damaged and in no use."""
    active = {file.path for file in lake.snapshot(table).files}
    for file in data_files(lake, table):
        try:
            rows = read_table(lake.storage, table, [file], _TELLING.get(table.name, ["review_id"]))
        except CorruptFile:
            if file.path in active:
                raise
            rows = None
        yield file, rows


def reviews(lake: Lake, who: ErasureTarget) -> int:
    """How many reviews of theirs any data file holds."""
    found = set[str]()
    for _, rows in _read(lake, REVIEWS):
        if rows is not None:
            found.update(rows.filter(who.rows(REVIEWS, rows))["review_id"].to_pylist())
    return len(found)


def count(lake: Lake, table: Table, who: ErasureTarget) -> int:
    """Rows of theirs in the newest version of a table."""
    names = _TELLING.get(table.name, ["review_id"])
    batches = read_batches(lake.storage, table, lake.snapshot(table).files, names)
    return sum(pc.sum(who.rows(table, batch)).as_py() or 0 for batch in batches)


def rewrite(lake: Lake, table: Table, who: ErasureTarget, new_key: NewKey) -> None:
    """Publish every day of the table that holds rows of theirs again, without them, in one commit."""
    while True:
        snapshot = lake.snapshot(table)
        held = holding(lake, table, who)
        days = sorted({file.day for file in snapshot.files if file.path in held}, key=str)
        if not days:
            return
        staged = []
        for day in days:
            files = snapshot.of(day)
            key = new_key(table, day, files, who.reviews, None) if day and "run_key" in table.names else None
            staged += _copy(lake.storage, table, day, files, who, key)
        if commit(lake.storage, snapshot, days, staged, allow_empty=True) == "published":
            return


def _copy(
    storage: Storage, table: Table, day: date | None, files: Sequence[DataFile], who: ErasureTarget, key: str | None
) -> list[DataFile]:
    with FileWriter(storage, table, day) as writer:
        for batch in _without(storage, table, files, who):
            if key is not None:
                at = batch.schema.get_field_index("run_key")
                batch = batch.set_column(at, batch.schema.field(at), pa.repeat(key, batch.num_rows))
            writer.write(batch)
        file = writer.close()
    return [file] if file else []


def _without(
    storage: Storage, table: Table, files: Sequence[DataFile], who: ErasureTarget, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows that are not theirs. Of a run, which is nobody's, only the error's text goes."""
    for batch in read_batches(storage, table, files, columns):
        mask = who.rows(table, batch)
        if table.name == RUNS.name:
            at = batch.schema.get_field_index("error")
            kept = pc.if_else(mask, pa.scalar(REMOVED), batch["error"])
            yield batch.set_column(at, batch.schema.field(at), kept)
        else:
            yield batch.filter(pc.invert(mask))


def retire_releases(lake: Lake, held: set[str], who: ErasureTarget, new_key: NewKey, told: Told) -> int:
    """Retire the releases that name these files; what readers see of a day goes on without what is theirs."""

    def without(release: Release, released: ReleasedTable) -> ReleasedTable:
        day = release.day
        if held.isdisjoint(released.files):
            return released
        table = lake.table(released.table)
        files = [DataFile(path, 0, 0, day) for path in released.files]
        now = lake.snapshot(table).of(day)
        # Where the table stands as it was released, the day without them is there already; else it is written.
        if _same(lake.storage, table, files, now, who):
            stands = current_files(table, now)
            return replace(stands, made=told(table, day, stands))
        named = [DataFile("", 0, 0, day, released.run_key, released.fingerprint)]
        key = new_key(table, day, named, who.reviews, release)
        copies = _copy(lake.storage, table, day, files, who, key if "run_key" in table.names else None)
        return ReleasedTable(table.name, released.fingerprint, released.run_key and key, tuple(f.path for f in copies))

    return retire(lake.storage, held.__contains__, without)


def _same(
    storage: Storage, table: Table, before: Sequence[DataFile], now: Sequence[DataFile], who: ErasureTarget
) -> bool:
    """Whether what stands now is what there was without theirs. Equal contents and fingerprints give equal values."""
    if not all(storage.exists(file.path) for file in before):
        return True
    names = [f.name for f in table.arrow if f.name != "run_key" and not pa.types.is_list(f.type)]
    schema = pa.schema([table.arrow.field(name) for name in names])
    kept = pa.Table.from_batches(_without(storage, table, before, who, names), schema)
    order = [(key, "ascending") for key in table.keys]
    return bool(kept.sort_by(order).equals(read_table(storage, table, now, names).sort_by(order)))


def blobs(lake: Lake, who: ErasureTarget, *, quiet: bool) -> list[str]:
    """Paths of the attached files that only their reviews ever had, and of those that no row names.

    An ingest that died left those: nobody can tell whose they are. ``quiet``: no ingest goes on, which may be about to
    name some; where that can't be told, the young ones stay.
    """
    mine, others = _attached(lake, who)
    if ATTACHMENTS.name in lake.lost():
        return [blob_path(sha) for sha in sorted(mine - others)]
    before = time.time() - ORPHANED
    nobodys = {
        path
        for path, changed in lake.storage.changed(BLOBS).items()
        if path.rpartition("/")[2] not in others and (quiet or changed < before)
    }
    return sorted(nobodys | {blob_path(sha) for sha in mine - others})


def _attached(lake: Lake, who: ErasureTarget) -> tuple[set[str], set[str]]:
    """sha256 of the attached files of their reviews, and of all others."""
    mine, others = set(), set()
    for file in data_files(lake, ATTACHMENTS):
        rows = _columns(lake, ATTACHMENTS, file, ["review_id", "content_sha256"])
        mask = who.rows(ATTACHMENTS, rows)
        mine.update(rows.filter(mask)["content_sha256"].to_pylist())
        others.update(rows.filter(pc.invert(mask))["content_sha256"].to_pylist())
    return mine - {None}, others - {None}


def aside(lake: Lake, who: ErasureTarget) -> list[str]:
    """The damaged files that lie aside and are not empty, but for those that can't be theirs.

    Whose rows a damaged file holds nobody can tell, so all count: but for tables that hold nothing of anybody, logs,
    and attached files that others have as well.
    """
    _, others = _attached(lake, who)
    others_blobs = {blob_path(sha) for sha in others}
    found = []
    for path in lake.storage.changed(ASIDE):
        inner = path.removeprefix(f"{ASIDE}/")
        if inner in others_blobs or inner.startswith(_NOBODYS) or "/_delta_log/" in inner:
            continue
        if inner.startswith(f"{BLOBS}/") or lake.storage.size(path):
            found.append(path)
    return found


def empty(storage: Storage, paths: Iterable[str]) -> None:
    """Empty files that lie aside: those of tables go on telling what was lost; an attached file's very name tells."""
    for path in paths:
        if path.startswith(f"{ASIDE}/{BLOBS}/"):
            storage.delete(path)
        else:
            storage.write(path, b"")


def loose_ends(lake: Lake, who: ErasureTarget) -> list[str]:
    """Files that belong to no table and may hold what is theirs: staged chunks, temporary files, pages."""
    everything = lake.storage.files("", recursive=True)
    found = [p for p in everything if p.startswith(f"{STAGING}/") or TEMPORARY.search(p)]
    pages = (path for path in everything if path.startswith(f"{PAGES}/"))
    texts = _texts(lake, who)
    found += [p for p in everything if p.startswith(f"{FOLDER}/") and not texts.isdisjoint(_journaled(lake.storage, p))]
    return found + [p for p in pages if who.spoken_of(lake.storage.read(p).decode("utf-8", "replace"))]


def _texts(lake: Lake, who: ErasureTarget) -> set[str]:
    """sha256 of their texts, both ways that they were cleaned."""
    found: set[str] = set()
    for file in data_files(lake, CLEAN_TEXT):
        rows = _columns(lake, CLEAN_TEXT, file, ["review_id", "plain", "text"])
        rows = rows.filter(who.rows(CLEAN_TEXT, rows))
        texts = (*rows["plain"].to_pylist(), *rows["text"].to_pylist())
        found.update(hashlib.sha256(text.encode()).hexdigest() for text in texts if text is not None)
    return found


def _journaled(storage: Storage, path: str) -> list[str]:
    """The texts of which a file of the journal keeps paid answers; one that is damaged keeps none."""
    try:
        return [str(sha) for sha in storage.arrow(path)["content_sha256"].to_pylist()]
    except (OSError, pa.ArrowInvalid):
        return []


def shorten_log(lake: Lake, table: Table) -> None:
    """Begin the table's log with what stands now, so that no entry tells of former files."""
    snapshot = open_snapshot(lake.storage, table)
    if snapshot.version < 0:
        return
    open_delta(lake.storage, snapshot).create_checkpoint()
    newest = f"{snapshot.version:020}"
    for path in lake.storage.files(f"{table.name}/_delta_log"):
        entry = path.rpartition("/")[2]
        if entry[:20].isdigit() and entry[:20] < newest:
            lake.storage.delete(path)


def remove(storage: Storage, paths: Iterable[str]) -> None:
    """Remove files at once, without the days of grace that others may need to end reading them."""
    for path in paths:
        storage.delete(path)


def _columns(lake: Lake, table: Table, file: DataFile, names: Sequence[str]) -> pa.Table:
    return read_table(lake.storage, table, [file], names)


def _day(path: str) -> date | None:
    found = re.search(r"/day=(\d{4}-\d\d-\d\d)/", path)
    return date.fromisoformat(found[1]) if found else None
