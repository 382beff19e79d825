"""Bringing records into ``reviews`` and ``attachments``: by review_id over all days, in whatever order they arrive."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.checks import check
from otzyv.schemas.errors import LakeError
from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.lake.delta.day import CheckFailed
from otzyv.tasks.lake.delta.publish import EmptyDay, FileWriter, commit, discard
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.records.gone import Seen, SourceNotWhole, gone, owns

ATTEMPTS = 10
HELD_ROWS = 50_000
"""Rows that an upsert keeps from telling what is new, so that telling what a day changes need not read them again."""
Rank = tuple[dt.datetime, str]
"""What decides between two states of a review in the same records: updated_at (none sorts lowest), then the digest.

So that the same records give the same lake in whatever order they come. The lake's own state loses to one that is as
new: it came earlier, and a corrected file need not say when it was corrected.
"""

STATE = ("review_id", "updated_at", "source_sha256", "day", "former_day", "source_file")
"""What tells a state of a review from others, and where it lies and comes from."""
_LOWEST = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Upserted:
    """``accepted``: records that are now a review's state and were not before. ``deduplicated``: all others."""

    accepted: int
    deduplicated: int
    accepted_on: Mapping[date, int]
    """The accepted by the day that they lie in."""
    changed: tuple[date, ...]
    """Days whose reviews or attachments are not what they were."""
    left: tuple[date, ...]
    """Days that reviews brought in lay in before, whichever run has moved them."""
    gone: int = 0
    """Reviews that a snapshot does not hold and the lake held before."""
    absent: int = 0
    """Reviews that a snapshot was not read to hold and that stay, as it can't be told whether they are gone."""
    undecided: int = 0
    """Reviews of which these records tell two states, neither newer by updated_at, so that their digests chose."""
    files_kept: int = 0
    """Attached files that could not be read this time, and stay as the lake has them."""
    files_lost: int = 0
    """Attached files that the lake had and that can't be read now, of changed reviews whose URLs are kept in part."""
    states: pa.Table | None = None
    """The states that the lake has now of the reviews brought in, with the columns of ``STATE``."""
    after: Mapping[str, Snapshot] = field(default_factory=dict)
    """``reviews`` and ``attachments`` of which that is true."""


class Overlapping(LakeError):
    """What records tell of some reviews, files that were left unread may tell as well."""

    def __init__(self) -> None:
        super().__init__("records are of reviews that files which were left unread may tell of; read them as well")


@dataclass(frozen=True, slots=True)
class _Plan:
    accepted: Mapping[str, date]
    """The days of the reviews that records newly are the state of."""
    reviews: pa.Table
    current: pa.Array
    """Ids of which the incoming record is the newest state: their rows and attachments are replaced."""
    same: pa.Array
    """Those of them of which the lake has this very record."""
    gone: pa.Array
    holds: pa.Array
    """Ids of all reviews that the lake holds afterwards."""
    there: pa.Table
    """Of the reviews that records are of, what the lake has, with the columns of ``STATE``."""
    absent: int
    emptied: tuple[date, ...]
    """Days that are left without any review as some of theirs are gone."""
    left: tuple[date, ...]
    undecided: int


@dataclass(frozen=True, slots=True)
class _Staged:
    """A table with the rows of some reviews replaced: files that no version names before ``commit``."""

    before: Snapshot
    replaced: pa.Array
    """Ids of the reviews whose rows are replaced."""
    fresh: pa.Table
    """The rows that they have instead."""
    days: frozenset[date]
    """Those that are not what they were."""
    files: tuple[DataFile, ...]

    def commit(self, storage: Storage) -> bool:
        """Put the files in, in one commit; False if another writer was faster."""
        if not self.days:
            return True
        # Alone: writers of other days may have brought the same review in, which is to stand in one day only.
        outcome = commit(storage, self.before, sorted(self.days), self.files, allow_empty=True, alone=True)
        return outcome == "published"

    def discard(self, storage: Storage) -> None:
        for file in self.files:
            storage.delete(file.path)

    def stands(self, storage: Storage) -> bool:
        """Whether the table is what the commit made it."""
        made = {file.path for file in self.before.files if file.day not in self.days}
        made |= {file.path for file in self.files}
        return {file.path for file in open_snapshot(storage, self.before.table).files} == made

    @property
    def after(self) -> Snapshot:
        """The table as the commit makes it."""
        kept = [file for file in self.before.files if file.day not in self.days]
        return replace(self.before, files=(*kept, *self.files))


def upsert(
    storage: Storage,
    incoming: pa.Table,
    attachments: pa.Table,
    *,
    seen: Seen | None = None,
    allow_empty: bool = False,
    yields: bool = False,
    on_the_web: Callable[[Collection[int], pa.Table], pa.Table] | None = None,
    unread: Collection[str] = (),
) -> Upserted:
    """Bring records and their attachments in; afterwards each review is in one day only, in its newest state.

    ``incoming``: rows of ``reviews``, the same id any number of times; ``attachments``: rows of ``attachments`` with a
    column ``record`` (row number in ``incoming``) and, unless none is, ``cut`` (whether the record says more than
    ``uri``, which then names no file for sure). ``seen``: the source is a snapshot, and what it does not hold any
    more is gone (``records.gone``); if that empties a day, EmptyDay is raised unless ``allow_empty``. Of two states as
    old as each other the lake's own goes, unless it ``yields``: then it stays. An attached file that can't be read
    stays as the lake has it. ``on_the_web`` gives more rows of ``attachments``, of the records that count alone, and is
    told what the lake has of those that have not changed.

    ``unread``: files (as ``source_file`` names them) of which it is known that bringing their records in again would
    change nothing. Raises Overlapping, and changes nothing, where that is not so together with these records.

    Reviews are committed before attachments, and whoever commits a review sees to its attachments: what others have
    put in meanwhile is put right, so that the two agree once all writers are done. What others have committed after
    these reviews came later than they. A run that died in between is completed by running again.
    """
    best, tied = _best(incoming)
    if "cut" not in attachments.column_names:
        attachments = attachments.append_column("cut", pa.repeat(pa.scalar(False), attachments.num_rows))
    first: _Plan | None = None
    accepted: dict[str, date] = {}
    let_go: set[str] = set()
    changed: set[date] = set()
    put: list[_Staged] = []
    for _ in range(ATTEMPTS):
        # Attachments first: a review that is ours in newer reviews then is ours for all who have changed these since.
        attached_before = open_snapshot(storage, ATTACHMENTS)
        reviews_before = open_snapshot(storage, REVIEWS)
        there = _There(storage, reviews_before, _days(incoming))
        left = pa.array(sorted(unread), pa.string())
        try:
            plan = _plan(there, incoming, best, tied, seen, yields or first is not None, left)
        except SourceNotWhole as error:
            if unread and first is None:  # it may be whole: what is left unread tells of more reviews than are its own
                raise Overlapping from error
            raise
        if first is None and unread and (len(plan.gone) or plan.absent or not {*unread}.isdisjoint(_files(plan.there))):
            raise Overlapping
        if plan.emptied and not allow_empty:
            named = ", ".join(map(str, plan.emptied))
            raise EmptyDay(
                f"the source is a snapshot and holds no review of {named}, which has reviews now: nothing was changed. "
                "If that is meant, say --allow-empty"
            )
        newest = {best[review_id][1] for review_id in plan.current.to_pylist()}
        rows = attachments.filter(pc.is_in(attachments["record"], pa.array(sorted(newest), pa.int64())))
        if on_the_web is not None:
            known = read_table(storage, ATTACHMENTS, attached_before.files)
            known = known.filter(pc.is_in(known["review_id"], value_set=plan.same))
            rows = pa.concat_tables([rows, on_the_web(newest, known)])
        rows, files_kept, files_lost = _kept(storage, attached_before, rows, plan.same)
        reviews = _stage(storage, there, pa.concat_arrays([plan.current, plan.gone]), plan.reviews)
        try:
            files = _There(storage, attached_before, _days(rows))
            attached = _stage(storage, files, *_attached(storage, files, plan, rows, put, there.ids))
        except BaseException:
            reviews.discard(storage)
            raise
        if not reviews.commit(storage):
            attached.discard(storage)
            continue
        first = first or plan
        accepted |= plan.accepted
        let_go |= {*plan.gone.to_pylist()}
        changed |= reviews.days
        if not attached.commit(storage):
            continue
        changed |= attached.days
        if attached.days:
            put.append(attached)
        # Others may have read the reviews before these were in, and change the attachments after this: they look too.
        if not (attached.days or reviews.days) or (reviews if attached.days else attached).stands(storage):
            return Upserted(
                len(accepted),
                incoming.num_rows - len(accepted),
                accepted_on=Counter(accepted.values()),
                changed=tuple(sorted(changed)),
                left=first.left,
                gone=len(let_go),
                absent=first.absent,
                undecided=first.undecided,
                files_kept=files_kept,
                files_lost=files_lost,
                states=_states(plan),
                after={each.before.table.name: each.after for each in (reviews, attached)},
            )
    raise LakeError(f"{storage.uri}: other writers kept changing the same days; nothing is lost, run again")


def _best(incoming: pa.Table) -> tuple[dict[str, tuple[Rank, int]], set[str]]:
    """Of each id the rank and row of its newest state, and the ids with another state that is as new."""
    best: dict[str, tuple[Rank, int]] = {}
    tied: set[str] = set()
    files = incoming["source_file"].to_pylist()
    for row, (review_id, rank) in enumerate(_ranks(incoming)):
        known = best.get(review_id)
        # The same record may come from several files: then the first name is kept, in whatever order they are read.
        if known is None or known[0] < rank or (known[0] == rank and files[row] < files[known[1]]):
            best[review_id] = (rank, row)
        if known is not None and _tied(known[0], rank):
            tied.add(review_id)
        elif known is not None and known[0][0] < rank[0]:
            tied.discard(review_id)
    return best, tied


def _tied(one: Rank, other: Rank) -> bool:
    return one != other and one[0] == other[0]


def _ranks(rows: pa.Table) -> Iterator[tuple[str, Rank]]:
    columns = (rows[name].to_pylist() for name in ("review_id", "updated_at", "source_sha256"))
    for review_id, updated, sha in zip(*columns, strict=True):
        yield review_id, (updated or _LOWEST, sha)


class _There:
    """What a table held before. Of the days that rows come in of, whole rows are kept, as far as these are few."""

    def __init__(self, storage: Storage, before: Snapshot, days: Collection[date]) -> None:
        self.before = before
        self._storage = storage
        self._held: dict[date, pa.Table] = {}
        names = [name for name in STATE if name in before.table.names]
        room = HELD_ROWS
        for day in sorted(days):
            room -= sum(file.rows for file in before.of(day))
            if room >= 0:
                self._held[day] = read_table(storage, before.table, before.of(day))
        others = [file for file in before.files if file.day not in self._held]
        held = [rows.select(names) for rows in self._held.values()]
        self.ids = pa.concat_tables([read_table(storage, before.table, others, names), *held])
        """A row for each row, with the columns of ``STATE`` that the table has."""

    def keeps(self, day: date) -> bool:
        """Whether whole rows of a day are kept."""
        return day in self._held

    def of(self, day: date) -> pa.Table:
        """Whole rows of a day."""
        held = self._held.get(day)
        return held if held is not None else read_table(self._storage, self.before.table, self.before.of(day))


def _plan(
    before: _There,
    incoming: pa.Table,
    best: dict[str, tuple[Rank, int]],
    tied: set[str],
    seen: Seen | None,
    yields: bool,
    unread: pa.Array,
) -> _Plan:
    ids = pa.array(best.keys(), pa.string())
    whole = before.ids
    going, absent = pa.array([], pa.string()), 0
    if seen:
        of_unread = whole.filter(pc.is_in(whole["source_file"], unread))["review_id"].combine_chunks()
        going, absent = gone(whole, pa.concat_arrays([ids, of_unread]), seen)
    there = whole.filter(pc.is_in(whole["review_id"], ids))
    known = {row["review_id"]: (rank, row) for row, (_, rank) in zip(there.to_pylist(), _ranks(there), strict=True)}
    current: list[str] = []
    same: list[str] = []
    accepted: dict[str, date] = {}
    former: dict[str, tuple[date | None, str | None]] = {}
    days = incoming["day"]
    undecided = 0
    for review_id, (rank, row) in best.items():
        mine, old = known.get(review_id, (None, None))
        if yields and mine is not None and _tied(rank, mine):
            continue
        if mine is not None and rank[0] < mine[0]:
            continue
        undecided += review_id in tied
        if mine is not None and old is not None:
            same_day = old["day"] == days[row].as_py()
            former[review_id] = (
                old["former_day"] if same_day else old["day"],
                old["source_file"] if rank == mine and _stays(old["source_file"], seen) else None,
            )
        if rank != mine:
            accepted[review_id] = days[row].as_py()
        else:
            same.append(review_id)
        current.append(review_id)
    fresh = incoming.take(pa.array([best[review_id][1] for review_id in current], pa.int64()))
    was, file = (
        zip(*(former.get(review_id, (None, None)) for review_id in current), strict=True) if current else ((), ())
    )
    fresh = fresh.set_column(fresh.column_names.index("former_day"), "former_day", pa.array(was, pa.date32()))
    files = pc.coalesce(pa.array(file, pa.string()), fresh["source_file"])
    fresh = fresh.set_column(fresh.column_names.index("source_file"), "source_file", files)
    left = {*was, *there["former_day"].unique().to_pylist()} - {None}
    replaced = pa.concat_arrays([going, pa.array(current, pa.string())])
    staying = whole.filter(pc.invert(pc.is_in(whole["review_id"], replaced)))
    emptied = _days(whole.filter(pc.is_in(whole["review_id"], going))) - _days(staying) - _days(fresh)
    return _Plan(
        accepted,
        fresh.select(REVIEWS.names).cast(REVIEWS.arrow),
        pa.array(current, pa.string()),
        pa.array(same, pa.string()),
        going,
        pa.concat_arrays([staying["review_id"].combine_chunks(), pa.array(current, pa.string())]),
        there,
        absent,
        tuple(sorted(emptied)),
        tuple(sorted(left)),
        undecided,
    )


def _files(rows: pa.Table) -> list[str]:
    return rows["source_file"].unique().to_pylist() if rows.num_rows else []


def _states(plan: _Plan) -> pa.Table:
    """What the lake has of the reviews brought in once the plan was carried out."""
    others = plan.there.filter(pc.invert(pc.is_in(plan.there["review_id"], plan.current)))
    return pa.concat_tables([plan.reviews.select(STATE), others.select(STATE)])


def _stays(file: str, seen: Seen | None) -> bool:
    """Whether a review that was read again goes on being of the file that it was first read from.

    It does, so that reading it again writes nothing; but of a snapshot it must be a file that is there, as one that is
    not speaks against letting anything go.
    """
    if seen is None:
        return True
    if owns(seen.source, file):
        return file in seen.there
    return not owns(None, file)  # a source that has got a name takes over what it brought before it had one


CONTENT = ("kind", "content_sha256", "bytes", "media_type", "status", "reason")
"""What the lake has of an attached file, beside where the record names it."""


UNREAD = ("a URL", "host not allowed", "a private address", "a redirect")
"""Reasons for which nobody looked at the file itself: a host may have been allowed before."""


def _kept(storage: Storage, before: Snapshot, rows: pa.Table, same: pa.Array) -> tuple[pa.Table, int, int]:
    """The attachments' rows, with what the lake has of files that could not be read now; how many these are, and how
    many it had and may not keep.

    A file is told by the name that the review gives it, or of the same record by its place: of a URL that is kept
    without its query nobody can tell whether it still stands for the same file. Where a run died, the lake may have the
    attachments of another state of the review than its record is.
    """
    named = rows.select(ATTACHMENTS.names)
    lost = pc.or_(pc.equal(rows["status"], "missing"), pc.equal(rows["bytes"], 0).fill_null(False))
    lost = pc.or_(lost, pc.is_in(rows["reason"], pa.array(UNREAD)))
    if not pc.any(lost).as_py():
        return named, 0, 0
    there = read_table(storage, ATTACHMENTS, before.files)
    there = there.filter(pc.is_in(there["review_id"], rows.filter(lost)["review_id"].combine_chunks()))
    unchanged = set(same.to_pylist())
    records = dict(zip(rows["review_id"].to_pylist(), rows["source_sha256"].to_pylist(), strict=True))
    several = {name for table in (named, there) for name, count in _urls(table).items() if count > 1}
    held: dict[tuple[str, object], dict[str, object]] = {}
    had = set[tuple[str, object]]()
    for row in there.filter(pc.equal(there["status"], "ok")).to_pylist():
        had.add((row["review_id"], row["uri"]))
        if row["uri"] is not None and (row["review_id"], row["uri"]) not in several:
            held[row["review_id"], row["uri"]] = row
        if row["review_id"] in unchanged and row["source_sha256"] in (None, records[row["review_id"]]):
            held[row["review_id"], row["position"]] = row
    found, kept, gone = [], 0, 0
    for row in rows.filter(lost).to_pylist():
        by_name, by_place = (row["review_id"], row["uri"]), (row["review_id"], row["position"])
        known = (None if row["cut"] else held.get(by_name)) or held.get(by_place)
        found.append(row | {name: known[name] for name in CONTENT} if known else row)
        kept += known is not None
        gone += known is None and by_name in had
    fresh = pa.Table.from_pylist(found, schema=rows.schema).select(ATTACHMENTS.names)
    return pa.concat_tables([named.filter(pc.invert(lost)), fresh]), kept, gone


def _urls(rows: pa.Table) -> Counter[tuple[str, str]]:
    """How often a review names the same URL, as far as URLs are kept."""
    names = zip(rows["review_id"].to_pylist(), rows["uri"].to_pylist(), strict=True)
    return Counter((review_id, uri) for review_id, uri in names if uri is not None and "://" in uri)


def _days(rows: pa.Table) -> set[date]:
    return {*rows["day"].unique().to_pylist()}


def _attached(
    storage: Storage, there: _There, plan: _Plan, rows: pa.Table, put: Sequence[_Staged], reviews: pa.Table
) -> tuple[pa.Array, pa.Table]:
    """The reviews whose attachments are replaced, and the rows that they get: with ``rows``, what others had put in.

    Those are of reviews that were ours when ``put`` replaced their attachments, and are not any more. Whoever has
    brought such a review in may have found its attachments there before, and not know that they were replaced: those of
    the record that ``reviews`` has of it. Others are of a state that is no more.
    """
    ids = there.ids["review_id"].combine_chunks()
    nobodys = ids.filter(pc.invert(pc.is_in(ids, value_set=plan.holds)))
    replaced = pa.concat_arrays([plan.current, nobodys.unique()])
    for ours in reversed(put):
        held = ours.replaced.filter(pc.is_in(ours.replaced, value_set=plan.holds))
        lost = held.filter(pc.invert(pc.is_in(held, value_set=replaced)))
        now = _by_review(read_table(storage, ATTACHMENTS, there.before.files), lost)
        then = _by_review(ours.fresh, lost)
        as_put = [review_id for review_id in lost.to_pylist() if now.get(review_id) == then.get(review_id)]
        former = read_table(storage, ATTACHMENTS, ours.before.files)
        former = former.filter(pc.is_in(former["review_id"], pa.array(as_put, pa.string())))
        records = reviews["source_sha256"].take(pc.index_in(former["review_id"], reviews["review_id"].combine_chunks()))
        theirs = pc.fill_null(pc.equal(former["source_sha256"], records), True)  # null: a former otzyv wrote it
        rows = pa.concat_tables([rows, former.filter(theirs)])
        replaced = pa.concat_arrays([replaced, pa.array(as_put, pa.string())])
    return replaced, rows


def _by_review(rows: pa.Table, ids: pa.Array) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for row in _sorted(ATTACHMENTS, rows.filter(pc.is_in(rows["review_id"], value_set=ids))).to_pylist():
        found.setdefault(row["review_id"], []).append(row)
    return found


def _stage(storage: Storage, there: _There, replaced: pa.Array, fresh: pa.Table) -> _Staged:
    """Write what days hold once the replaced reviews' rows are out of all of them, and the fresh ones are in."""
    table = there.before.table
    touched = _days(there.ids.filter(pc.is_in(there.ids["review_id"], replaced)))
    staged: list[DataFile] = []
    changed: set[date] = set()

    def written() -> Iterator[pa.RecordBatch]:
        """The rows of each day that changes, while they are written."""
        for day, new in _differing(there, replaced, fresh, sorted(touched | _days(fresh))):
            changed.add(day)
            with FileWriter(storage, table, day) as writer:
                yield from writer.through(new.to_batches(max_chunksize=4096))
                file = writer.close()
            staged.extend([file] if file else [])

    try:
        rows = written()
        first = next(rows, None)
        if first is None:  # no day has other rows than it had; days without any have nothing to check
            return _Staged(there.before, replaced, fresh, frozenset(changed), tuple(staged))
        report = check(table.of_days, itertools.chain([first], rows), expected=None, allow_empty=True)
        if not report.ok:
            named = (key[-1] for failure in report.failed for key in failure.keys)
            day = next(named, min(changed))
            raise CheckFailed(day, report, "failed: " + ", ".join(failure.rule for failure in report.failed))
    except BaseException:
        discard(storage, staged)
        raise
    return _Staged(there.before, replaced, fresh, frozenset(changed), tuple(staged))


def _differing(
    there: _There, replaced: pa.Array, fresh: pa.Table, days: Sequence[date]
) -> Iterator[tuple[date, pa.Table]]:
    """The days that get other rows than they have, with these rows.

    Days whose rows are kept are compared many at a time, then halves of those that differ: few of many days change.
    """
    held = [day for day in days if there.keeps(day)]
    for many in (held, *([day] for day in days if not there.keeps(day))):
        if not many:
            continue
        old = pa.concat_tables([there.of(day) for day in many])
        kept = old.filter(pc.invert(pc.is_in(old["review_id"], replaced)))
        mine = fresh.filter(pc.is_in(fresh["day"], pa.array(many, pa.date32())))
        new = _sorted(there.before.table, pa.concat_tables([kept, mine]))
        if new.equals(_sorted(there.before.table, old)):
            continue
        if len(many) == 1:
            yield many[0], new
            continue
        half = len(many) // 2
        yield from _differing(there, replaced, mine, many[:half])
        yield from _differing(there, replaced, mine, many[half:])


def _sorted(table: Table, rows: pa.Table) -> pa.Table:
    return rows.sort_by([(key, "ascending") for key in table.keys]).combine_chunks()
