"""Make a lake forget a review or a person: rows, files, releases, logs; and keep their records from coming back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import InvalidInput
from otzyv.schemas.table import Table
from otzyv.schemas.tables import QUARANTINE
from otzyv.tasks.extractors.custom.adapted import learned_from
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import DataFile
from otzyv.tasks.lake.features import artefacts
from otzyv.tasks.lake.features.contents import run_key
from otzyv.tasks.lake.records.blobs import nobody_attaching
from otzyv.tasks.lake.records.suppression import keyed, keyed_author, keyed_name, suppress, suppressed
from otzyv.tasks.lake.records.whose import as_shown
from otzyv.tasks.lake.releases import MadeOf, Release, ReleasedTable
from otzyv.tasks.lake.upkeep import erase
from otzyv.tasks.pipeline.edition import SOURCES, Edition, stands


@dataclass(frozen=True, slots=True)
class Found:
    """What a lake holds of somebody.

    ``rows``: of theirs in the newest version of each table that has any; ``files``: data files of any version that hold
    rows of theirs, each of which is removed and, where it is in use, rewritten without them. ``refused``: records in
    quarantine. ``releases`` name such files, and are replaced. ``blobs``: attached files that nobody else has, or that
    no row names; ``loose``: staged chunks, temporary files, answers and quality pages; ``aside``: damaged files.
    """

    reviews: int
    days: tuple[date, ...]
    rows: Mapping[str, int]
    files: int
    refused: int
    releases: int
    blobs: int
    loose: int
    aside: int
    barred: bool
    """Whether their records do not come in since somebody asked for it."""

    @property
    def known(self) -> bool:
        """Whether the lake has anything to do with them."""
        return self.barred or self.files > 0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a lake held of them. ``tables``: those with rows; ``stale``: fits that may have learned from them.

    ``aside``: damaged files that the doctor had set aside, and that were emptied since they may have been theirs;
    ``adapted``: encoders in this machine's model store that may have.
    """

    reviews: int
    days: tuple[date, ...]
    tables: tuple[str, ...]
    releases: int
    blobs: int
    aside: int
    stale: tuple[str, ...]
    adapted: tuple[str, ...]
    new: bool
    """Whether nobody had asked for it before."""
    known: bool = True
    """Whether the lake has anything to do with them; if not, they were not barred."""
    ingesting: bool = False
    """Whether an ingest goes on: attached files stay that it may be about to name, so this is to be run again."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is to be forgotten, and what the lake has under their names."""

    who: erase.ErasureTarget
    tables: list[Table]
    held: dict[str, dict[str, DataFile]]
    barred: bool

    @property
    def days(self) -> tuple[date, ...]:
        files = (self.held[table.name] for table in self.tables if "review_id" in table.names)
        return tuple(sorted({file.day for held in files for file in held.values() if file.day is not None}))

    @property
    def paths(self) -> set[str]:
        return {path for files in self.held.values() for path in files}


def find(lake_uri: str, author_key: str, *, review: str | None = None, author: str | None = None) -> Found:
    """What ``forget`` would erase, changing nothing. Raises what it raises."""
    lake, author = _checked(lake_uri, author_key, review, author)
    asked = _look(lake, author_key, review, author)
    rows = {table.name: erase.count(lake, table, asked.who) for table in asked.tables if asked.held[table.name]}
    named = (release for releases in lake.history().values() for release in releases)
    releases = [each for each in named if not asked.paths.isdisjoint(path for t in each.tables for path in t.files)]
    with nobody_attaching(lake.storage, looking=True) as quiet:
        blobs = erase.blobs(lake, asked.who, quiet=quiet)
    return Found(
        reviews=erase.reviews(lake, asked.who),
        days=asked.days,
        rows={name: count for name, count in rows.items() if count},
        files=len(asked.paths),
        refused=rows.get(QUARANTINE.name, 0),
        releases=len(releases),
        blobs=len(blobs),
        loose=len(erase.loose_ends(lake, asked.who)),
        aside=len(erase.aside(lake, asked.who)),
        barred=asked.barred,
    )


def forget(
    lake_uri: str, author_key: str, *, review: str | None = None, author: str | None = None, ahead: bool = False
) -> Forgotten:
    """Erase a review, or an author as the source names them, from a lake. Run again, it ends what a dead run began.

    What their records held is gone at once from every version: a day's releases are replaced by one without them, and
    the files, blobs and log entries of before are removed. Damaged files that lie aside are emptied, whoever they are
    of, unless they can't hold reviews: nobody can tell; attached files that no row names go likewise. A run of the same
    days that goes on meanwhile ends as superseded; an ingest that goes on meanwhile may bring them in again, so run
    this once more after it. An author is the same however the name is written, and so is each review that is found of
    them, whatever name it comes in with again.

    Of somebody whom the lake never had nothing is noted, unless ``ahead``. Raises ValueError where nobody is named,
    WrongKey if authors were hashed with another key, CorruptFile where a table can't be read.
    """
    lake, author = _checked(lake_uri, author_key, review, author)
    first = _look(lake, author_key, review, author)
    if not (ahead or first.barred or first.paths):
        blobs, quiet = _remove_blobs(lake, first.who)
        return Forgotten(0, (), (), 0, blobs, 0, (), (), False, known=False, ingesting=not quiet)
    # First of all: from here on no ingest brings them in again.
    new = _bar(lake, author_key, first.who, review, author)
    asked = _look(lake, author_key, review, author)
    _bar(lake, author_key, asked.who, review, author)
    who, tables, held = asked.who, asked.tables, asked.held
    reviews = erase.reviews(lake, who)
    stale = artefacts.mark_stale(lake.storage, asked.days)

    new_key = partial(_new_key, lake)
    for table in tables:
        erase.rewrite(lake, table, who, new_key)
    releases = erase.retire_releases(lake, asked.paths, who, new_key, partial(_told, lake))
    for table in tables:
        if held[table.name]:
            erase.shorten_log(lake, table)
    erase.remove(lake.storage, erase.loose_ends(lake, who))
    aside = erase.aside(lake, who)
    erase.empty(lake.storage, aside)
    blobs, quiet = _remove_blobs(lake, who)
    for table in tables:
        erase.remove(lake.storage, held[table.name])
    return Forgotten(
        reviews,
        asked.days,
        tuple(name for name, files in held.items() if files),
        releases,
        blobs,
        len(aside),
        tuple(f"{model.name} version {model.version}" for model in stale),
        learned_from(lake.uri, asked.days),
        new,
        ingesting=not quiet,
    )


def _checked(lake_uri: str, author_key: str, review: str | None, author: str | None) -> tuple[Lake, str | None]:
    author = as_shown(author) if author else None
    if not review and not author:
        raise InvalidInput("name a review or an author: an empty name is nobody's")
    lake = Lake(lake_uri)
    lake.constants.check_author_key(author_key)
    return lake, author


def _look(lake: Lake, author_key: str, review: str | None, author: str | None) -> _Asked:
    who = erase.erasure_target(lake, review, author, author_key)
    tables = erase.tables(lake)
    held = {table.name: erase.holding(lake, table, who) for table in tables}
    known = suppressed(lake.storage)
    barred = known.covers(author_key, review, None) if review else known.covers(author_key, "", author)
    return _Asked(who, tables, held, barred)


def _bar(lake: Lake, author_key: str, who: erase.ErasureTarget, review: str | None, author: str | None) -> bool:
    """Note whose records are not to come in; False if those that were asked for were noted before."""
    new = False
    if author:
        new = suppress(lake.storage, "author", keyed_author(author_key, author))
        new = suppress(lake.storage, "name", keyed_name(author_key, author)) and new
    for review_id in sorted(who.ids):
        new = (suppress(lake.storage, "review", keyed(author_key, review_id)) and review_id == review) or new
    return new


def _remove_blobs(lake: Lake, who: erase.ErasureTarget) -> tuple[int, bool]:
    """Remove the attached files that are theirs or nobody's; none while an ingest goes on. How many, and whether."""
    with nobody_attaching(lake.storage) as quiet:
        if not (quiet or lake.storage.remote):
            return 0, False
        paths = erase.blobs(lake, who, quiet=quiet)
        erase.remove(lake.storage, paths)
    return len(paths), True


def _told(lake: Lake, table: Table, day: date, there: ReleasedTable) -> MadeOf | None:
    """What a run of the day would tell of a table, so that the next one finds it as it would make it."""
    made = None if table.name in SOURCES else stands(lake, day).made_of(there)
    if made is None:
        return None
    rows = lake.read(table, day, ["status"])["status"].to_pylist()
    return MadeOf(made[0].digest, Counter(rows))


def _new_key(
    lake: Lake, table: Table, day: date, files: Sequence[DataFile], reviews: pa.Array, release: Release | None = None
) -> str:
    """The run key of the same contents without some reviews, by which the next run finds the day unchanged."""
    file = files[0]
    edition = Edition(lake, day, release.by_name) if release else stands(lake, day)
    made = edition.made_of(ReleasedTable(table.name, file.fingerprint, file.run_key, ()))
    if made is None:  # of what is no more: the next run makes it again, whatever its key
        return run_key(table.name, day, f"without some of {file.run_key}", str(file.fingerprint))
    contents, whole = made
    left = contents.keys.filter(pc.invert(pc.is_in(contents.keys["review_id"], value_set=reviews)))
    return run_key(table.name, day, replace(contents, keys=left).digest, str(file.fingerprint), whole=whole)
