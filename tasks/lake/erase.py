"""Erasing reviews: each row, file and line of a lake that holds them, of whatever version or release.

What is to be erased is found anew in every run, in files of all versions, and the files that tell most are removed
last (a review's own row tells its id, its attachments' rows tell their blobs). So a run that died is completed by
running again, and nothing need be noted on the way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table
from schemas.tables import ATTACHMENTS, CLEAN_TEXT, MODELS, QUALITY, QUARANTINE, RELEASES, REVIEWS, RUNS
from tasks.lake.blobs import BLOBS, blob_path
from tasks.lake.journal import FOLDER
from tasks.lake.lake import Lake
from tasks.lake.publish import FileWriter, commit
from tasks.lake.releases import ReleasedTable, retire, standing
from tasks.lake.reuse import STAGING
from tasks.lake.snapshot import CorruptFile, DataFile, open_delta, open_snapshot, read_batches, read_table
from tasks.lake.storage import ASIDE, PAGES, TEMPORARY, Storage
from tasks.lake.suppression import as_shown, leaves

REMOVED = "removed: it spoke of a review that was forgotten"
_NOBODYS = tuple(f"{table.name}/" for table in (RELEASES, QUALITY, MODELS))
NewKey = Callable[[Table, date, Sequence[DataFile], pa.Array], str]
"""The run key of a day of a table once these reviews are out of it."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What is to be erased: reviews by id, an author's keyed hash, and the words that name them in raw records."""

    reviews: pa.Array
    author: str | None
    said: tuple[str, ...]

    def rows(self, table: Table, batch: pa.RecordBatch | pa.Table) -> pa.Array:
        """Which rows are theirs, as booleans (n,)."""
        if table.name == QUARANTINE.name:
            return pa.array([mentions(raw, self.said) for raw in batch["raw"].to_pylist()], pa.bool_())
        if table.name == RUNS.name:
            return pa.array([_named(error or "", self.said) for error in batch["error"].to_pylist()], pa.bool_())
        found = pc.is_in(batch["review_id"], value_set=self.reviews)
        if table.name == REVIEWS.name and self.author is not None:
            found = pc.or_(found, pc.equal(batch["author"], self.author).fill_null(False))
        return found


def mentions(raw: bytes, said: Sequence[str]) -> bool:
    """Whether a record has one of the words as a value; where it can't be parsed, whether the word stands in it."""
    try:
        values = set(leaves(json.loads(raw, object_pairs_hook=list)))
    except (ValueError, RecursionError):
        return any(_named(as_shown(raw.decode(encoding, "replace")), said) for encoding in ("utf-8", "cp1251"))
    return not (values | {*map(as_shown, values)}).isdisjoint(said)


def _named(text: str, said: Sequence[str]) -> bool:
    written = {form for word in said for form in (word, json.dumps(word)[1:-1])}
    return any(re.search(rf"(?<![\w-]){re.escape(form)}(?![\w-])", text) for form in written)


def theirs(lake: Lake, review: str | None, author: str | None, author_hash: str | None) -> Theirs:
    """A review, or all that an author ever wrote, as far as any file still tells."""
    found = {review} if review else set()
    if author_hash is not None:
        for file in data_files(lake, REVIEWS):
            rows = _columns(lake, REVIEWS, file, ["review_id", "author"])
            found.update(rows.filter(pc.equal(rows["author"], author_hash))["review_id"].to_pylist())
    said = (*sorted(found), *([author] if author else []), *([author_hash] if author_hash else []))
    return Theirs(pa.array(sorted(found), pa.string()), author_hash, said)


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


def holding(lake: Lake, table: Table, who: Theirs) -> dict[str, DataFile]:
    """Path -> file of every data file with rows of theirs. One that can't be read counts, unless it is in use."""
    active = {file.path for file in lake.snapshot(table).files}
    names = {QUARANTINE.name: ["raw"], RUNS.name: ["error"], REVIEWS.name: ["review_id", "author"]}
    found = {}
    for file in data_files(lake, table):
        try:
            rows = _columns(lake, table, file, names.get(table.name, ["review_id"]))
        except CorruptFile:
            if file.path in active:
                raise
        else:
            if not pc.any(who.rows(table, rows)).as_py():
                continue
        found[file.path] = file
    return found


def rewrite(lake: Lake, table: Table, who: Theirs, new_key: NewKey) -> None:
    """Publish every day of the table that holds rows of theirs anew, without them, in one commit."""
    while True:
        snapshot = lake.snapshot(table)
        held = holding(lake, table, who)
        days = sorted({file.day for file in snapshot.files if file.path in held}, key=str)
        if not days:
            return
        staged = []
        for day in days:
            files = snapshot.of(day)
            key = new_key(table, day, files, who.reviews) if day and "run_key" in table.names else None
            staged += _copy(lake.storage, table, day, files, who, key)
        if commit(lake.storage, snapshot, days, staged, allow_empty=True) == "published":
            return


def _copy(
    storage: Storage, table: Table, day: date | None, files: Sequence[DataFile], who: Theirs, key: str | None
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
    storage: Storage, table: Table, files: Sequence[DataFile], who: Theirs, columns: Sequence[str] | None = None
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


def retire_releases(lake: Lake, held: set[str], who: Theirs, new_key: NewKey) -> int:
    """Retire the releases that name these files; what readers see of a day goes on without what is theirs."""

    def without(day: date, released: ReleasedTable) -> ReleasedTable:
        if held.isdisjoint(released.files):
            return released
        table = lake.table(released.table)
        files = [DataFile(path, 0, 0, day) for path in released.files]
        now = lake.snapshot(table).of(day)
        # Where the table stands as it was released, the day without them is there already; else it is written.
        if _same(lake.storage, table, files, now, who):
            return standing(table, now)
        key = new_key(table, day, [DataFile("", 0, 0, day, released.run_key, released.fingerprint)], who.reviews)
        copies = _copy(lake.storage, table, day, files, who, key if "run_key" in table.names else None)
        return ReleasedTable(table.name, released.fingerprint, released.run_key and key, tuple(f.path for f in copies))

    return retire(lake.storage, held.__contains__, without)


def _same(storage: Storage, table: Table, before: Sequence[DataFile], now: Sequence[DataFile], who: Theirs) -> bool:
    """Whether what stands now is what there was without theirs. Equal contents and fingerprints give equal values."""
    if not all(storage.exists(file.path) for file in before):
        return True
    names = [f.name for f in table.arrow if f.name != "run_key" and not pa.types.is_list(f.type)]
    schema = pa.schema([table.arrow.field(name) for name in names])
    kept = pa.Table.from_batches(_without(storage, table, before, who, names), schema)
    order = [(key, "ascending") for key in table.keys]
    return bool(kept.sort_by(order).equals(read_table(storage, table, now, names).sort_by(order)))


def blobs(lake: Lake, who: Theirs) -> list[str]:
    """Paths of the attached files that only their reviews ever had."""
    mine, others = _attached(lake, who)
    return [blob_path(sha) for sha in sorted(mine - others)]


def _attached(lake: Lake, who: Theirs) -> tuple[set[str], set[str]]:
    """sha256 of the attached files of their reviews, and of all others."""
    mine, others = set(), set()
    for file in data_files(lake, ATTACHMENTS):
        rows = _columns(lake, ATTACHMENTS, file, ["review_id", "content_sha256"])
        mask = who.rows(ATTACHMENTS, rows)
        mine.update(rows.filter(mask)["content_sha256"].to_pylist())
        others.update(rows.filter(pc.invert(mask))["content_sha256"].to_pylist())
    return mine - {None}, others - {None}


def empty_aside(lake: Lake, who: Theirs) -> int:
    """Empty the damaged files that lie aside, but for those that can't be theirs; returns how many there were.

    Whose rows a damaged file holds nobody can tell, so all go: but for tables that hold nothing of anybody, logs, and
    attached files that others have as well. Empty, files of tables go on telling what was lost.
    """
    _, others = _attached(lake, who)
    others_blobs = {blob_path(sha) for sha in others}
    count = 0
    for path in lake.storage.changed(ASIDE):
        inner = path.removeprefix(f"{ASIDE}/")
        if inner in others_blobs or inner.startswith(_NOBODYS) or "/_delta_log/" in inner:
            continue
        if inner.startswith(f"{BLOBS}/"):  # its very name would tell of their file
            lake.storage.delete(path)
        elif lake.storage.size(path):
            lake.storage.write(path, b"")
        else:
            continue
        count += 1
    return count


def loose_ends(lake: Lake, who: Theirs) -> list[str]:
    """Files that belong to no table and may hold what is theirs: staged chunks, temporary files, pages."""
    everything = lake.storage.files("", recursive=True)
    found = [p for p in everything if p.startswith(f"{STAGING}/") or TEMPORARY.search(p)]
    pages = (path for path in everything if path.startswith(f"{PAGES}/"))
    texts = _texts(lake, who)
    found += [p for p in everything if p.startswith(f"{FOLDER}/") and not texts.isdisjoint(_journaled(lake.storage, p))]
    return found + [path for path in pages if _named(lake.storage.read(path).decode("utf-8", "replace"), who.said)]


def _texts(lake: Lake, who: Theirs) -> set[str]:
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
