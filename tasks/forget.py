"""Make a lake forget a review or a person: rows, files, releases, logs; and keep their records from coming back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table
from schemas.tables import REVIEWS
from tasks.extractors.adapted import learned_from
from tasks.features import run_key
from tasks.lake import Lake, erase, models
from tasks.lake.releases import ReleasedTable
from tasks.lake.snapshot import DataFile
from tasks.lake.suppression import as_shown, keyed, keyed_author, suppress
from tasks.release import made_of


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


def forget(lake_uri: str, author_key: str, *, review: str | None = None, author: str | None = None) -> Forgotten:
    """Erase a review, or an author as the source names them, from a lake. Run again, it ends what a dead run began.

    What their records held is gone at once from every version: a day's releases are replaced by one without them, and
    the files, blobs and log entries of before are removed. Damaged files that lie aside are emptied, whoever they are
    of, unless they can't hold reviews: nobody can tell. A run of the same days that goes on meanwhile ends as
    superseded; an ingest that goes on meanwhile may bring them in again, so run this once more after it.

    Raises ValueError where neither is named, WrongKey if authors were hashed with another key, CorruptFile where a
    table can't be read.
    """
    author = as_shown(author) if author else None
    if not review and not author:
        raise ValueError("name a review or an author: an empty name is nobody's")
    lake = Lake(lake_uri)
    lake.constants.check_author_key(author_key)
    author_hash = keyed_author(author_key, author) if author else None
    # First: from here on no ingest brings them in again.
    new = suppress(lake.storage, "author", author_hash) if author_hash else False
    if review:
        new = suppress(lake.storage, "review", keyed(author_key, review)) or new
    who = erase.theirs(lake, review, author, author_hash)
    tables = erase.tables(lake)
    held = {table.name: erase.holding(lake, table, who) for table in tables}
    days = {file.day for table in tables if "review_id" in table.names for file in held[table.name].values()}
    days_told = tuple(sorted(day for day in days if day is not None))
    stale = models.mark_stale(lake.storage, days_told)

    new_key = partial(_new_key, lake)
    for table in tables:
        erase.rewrite(lake, table, who, new_key)
    everything = {path for files in held.values() for path in files}
    releases = erase.retire_releases(lake, everything, who, new_key)
    for table in tables:
        if held[table.name]:
            erase.shorten_log(lake, table)
    erase.remove(lake.storage, erase.loose_ends(lake, who))
    aside = erase.empty_aside(lake, who)
    blobs = erase.blobs(lake, who)
    erase.remove(lake.storage, blobs)
    for table in tables:
        erase.remove(lake.storage, held[table.name])
    return Forgotten(
        len(who.reviews) if held.get(REVIEWS.name) else 0,
        days_told,
        tuple(name for name, files in held.items() if files),
        releases,
        len(blobs),
        aside,
        tuple(f"{model.name} version {model.version}" for model in stale),
        learned_from(lake.uri, days_told),
        new,
    )


def _new_key(lake: Lake, table: Table, day: date, files: Sequence[DataFile], reviews: pa.Array) -> str:
    """The run key of the same contents without some reviews, by which the next run finds the day unchanged."""
    file = files[0]
    made = made_of(lake, day, ReleasedTable(table.name, file.fingerprint, file.run_key, ()))
    if made is None:  # of what is no more: the next run makes it anew, whatever its key
        return run_key(table.name, day, f"without some of {file.run_key}", str(file.fingerprint))
    contents, whole = made
    left = contents.keys.filter(pc.invert(pc.is_in(contents.keys["review_id"], value_set=reviews)))
    return run_key(table.name, day, replace(contents, keys=left).digest, str(file.fingerprint), whole=whole)
