"""Which reviews a snapshot of a source lets go: those that it does not hold any more, where that can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.errors import InputError

SHARE, FEW = 0.5, 50
"""A snapshot from which more than this share of so many reviews would go is refused."""
UNALIKE = 3
"""Of so many reviews at least one must still be there: else the ids themselves are likely to have changed."""
_NAMED = 5


class SourceNotWhole(InputError):
    """A snapshot lacks reviews that the lake has, and it may be that the source was not read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a source that is a snapshot. Files are named as ``reviews.source_file`` names them."""

    source: str | None = None
    """The name of the source. Reviews of another one, or of none, are not its own and never go."""
    read: frozenset[str]
    """Files that were read, and held a record."""
    there: frozenset[str]
    """Those, and the files that the source has besides."""
    days: frozenset[date] | None = None
    """The days whose files were read; None: all there are."""
    aside: Sequence[str] = ()
    """Files that were left aside, as the source can't be read from them."""
    refused: frozenset[str] = frozenset()
    """Ids of the records that were refused: their reviews stay as they are."""
    nameless: int = 0
    """How many records were refused whose id can't be read: each may be any review's."""
    elsewhere: Callable[[Collection[str]], tuple[Collection[str], bool]] = lambda _: ((), True)
    """Which of these ids are known to be in the files that were not read, and whether no other can be."""
    failed: bool = False
    """Files were damaged or too much was refused: nothing is to go."""
    allowed: bool = False
    """What is absent goes although the source may not be whole."""


def file_of(source: str | None, file: str) -> str:
    """A source's file as ``reviews.source_file`` names it: no path within a source has an empty part."""
    return f"{source}//{file}" if source else file


def owns(source: str | None, file: str) -> bool:
    """Whether a file, named so, is the source's own; those of a source without a name have none."""
    return file.startswith(file_of(source, "")) if source else "//" not in file


def gone(reviews: pa.Table, ids: pa.Array, seen: Seen) -> tuple[pa.Array, int]:
    """The ids of the reviews that go; and of how many that are absent it can't be told, so that they stay.

    ``reviews``: review_id, day and source_file of all of the lake's; ``ids``: those that the source was read to hold.
    Raises SourceNotWhole where files that reviews came from are not there or were left aside, or so much would go that
    the ids are likely to mean something else than before.
    """
    files = [file for file in reviews["source_file"].unique().to_pylist() if owns(seen.source, file)]
    mine = reviews.filter(pc.is_in(reviews["source_file"], pa.array(files, pa.string())))
    if seen.days is not None:
        of_read = pc.is_in(mine["source_file"], pa.array(sorted(seen.read), pa.string()))
        lost = pc.invert(pc.is_in(mine["source_file"], pa.array(sorted(seen.there), pa.string())))
        of_days = pc.is_in(mine["day"], pa.array(sorted(seen.days), pa.date32()))
        mine = mine.filter(pc.or_(of_read, pc.and_(lost, of_days)))
    still = pa.concat_arrays([ids, pa.array(sorted(seen.refused), pa.string())])
    absent = mine.filter(pc.invert(pc.is_in(mine["review_id"], still)))
    found, sure = seen.elsewhere(set(absent["review_id"].to_pylist())) if absent.num_rows else ((), True)
    absent = absent.filter(pc.invert(pc.is_in(absent["review_id"], pa.array(sorted(found), pa.string()))))
    nobody = pa.array([], pa.string())
    if not absent.num_rows or seen.failed:
        return nobody, absent.num_rows
    if not seen.allowed:
        if doubts := list(_doubts(absent, mine.num_rows, seen, any_read=len(still) > 0)):
            raise SourceNotWhole(
                f"the source is a snapshot and lacks {_count(absent.num_rows)} of the lake, which may not be gone: "
                f"{'; '.join(doubts)}. Nothing was changed. If the source is whole as it is, say --allow-gone"
            )
        if seen.nameless or not sure:
            return nobody, absent.num_rows
    return absent["review_id"].combine_chunks(), 0


def _doubts(absent: pa.Table, own_reviews: int, seen: Seen, *, any_read: bool) -> Iterator[str]:
    files = Counter(absent["source_file"].to_pylist())
    if lost := sorted(files.keys() - seen.there):
        count = sum(files[file] for file in lost)
        yield f"{_count(count)} came from {_list(lost)}, which {'is' if len(lost) == 1 else 'are'} not there or empty"
    if seen.aside:
        yield f"{_list(seen.aside)} {'was' if len(seen.aside) == 1 else 'were'} not read"
    if not any_read:  # days without any review are another question
        return
    if absent.num_rows == own_reviews >= UNALIKE:
        yield "no id in it is known, as if another column were mapped to review_id or it were another source"
    elif own_reviews >= FEW and absent.num_rows > SHARE * own_reviews:
        yield f"they are more than {SHARE:.0%} of the {own_reviews} that came from it"


def _count(reviews: int) -> str:
    return f"{reviews} review" if reviews == 1 else f"{reviews} reviews"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
