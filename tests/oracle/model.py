"""What a lake has to hold and to show, as plain dicts: the documents' rules, and not a line of the code that is tested.

A day of a table is a ``Part``. Two parts are the same publication if they are the same object, as two days are if
they lie in the same files; two empty ones are equal, since they lie in none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import fmean
from typing import Any, Literal
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]
Key = tuple[Any, ...]
"""(review_id,), or (review_id, position)."""
Content = str | bytes
Computed = tuple[str, Mapping[str, Any]]
"""A content's status and its values by column; a vector is the bytes of its float32."""


@dataclass(frozen=True)
class File:
    """What a reference to an attached file comes to."""

    uri: str
    kind: str
    status: str
    reason: str | None
    sha256: str | None
    size: int | None
    media_type: str | None


@dataclass(frozen=True)
class Record:
    """A record as its source means it; ``refused`` ones have a rating that no review can have."""

    review_id: str
    text: str | None
    created_at: datetime
    updated_at: datetime | None
    rating: float | None
    author: str | None
    course_id: str | None
    attachments: tuple[tuple[str, str], ...]
    files: tuple[File, ...]
    source_file: str
    refused: bool = False

    @property
    def digest(self) -> str:
        """sha256 of what the record means."""
        said = {
            "review_id": self.review_id, "text": self.text, "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at and self.updated_at.isoformat(), "rating": self.rating,
            "author": self.author, "course_id": self.course_id, "attachments": [list(ref) for ref in self.attachments],
        }  # fmt: skip
        said = {name: value for name, value in said.items() if value}
        written = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(written.encode()).hexdigest()

    @property
    def rank(self) -> tuple[bool, Any, str]:
        """The newest edit wins, no time of an edit is the lowest; of equal ones in an ingest the digest decides."""
        return self.updated_at is not None, self.updated_at, self.digest

    @property
    def edited(self) -> tuple[bool, Any]:
        return self.rank[:2]


@dataclass(frozen=True, eq=False)
class Part:
    """A table's day in one state."""

    rows: Mapping[Key, Row] = field(default_factory=dict)

    def is_same(self, other: Part | None) -> bool:
        return other is not None and (self is other or not (self.rows or other.rows))

    @property
    def ids(self) -> set[str]:
        return {key[0] for key in self.rows}


@dataclass(frozen=True, eq=False)
class Release:
    """``back_to``: of a rollback, the release that is current again."""

    sequence: int
    verdict: Literal["released", "held", "approved", "rolled back"]
    tables: Mapping[str, Part]
    back_to: Release | None = None

    @property
    def visible(self) -> bool:
        return self.verdict != "held"

    def shows_same(self, other: Release) -> bool:
        return self.tables.keys() == other.tables.keys() and all(
            part.is_same(other.tables[name]) for name, part in self.tables.items()
        )


@dataclass(frozen=True)
class Accounting:
    records_in: int
    accepted: int
    quarantined: int
    deduplicated: int
    suppressed: int
    accepted_on: Mapping[date, int]
    gone: int | None
    undecided: int
    days: frozenset[date]


@dataclass(frozen=True)
class Made:
    """One attempt at a table's day."""

    state: Literal["published", "unchanged"]
    rows: int
    computed: int
    status: Mapping[str, int]


class EmptiesDay(Exception):
    """A snapshot would leave a day without reviews."""


class NothingToDo(Exception):
    """No release can be approved, or made current again."""


class NotSeen(Exception):
    """A day, or one of the tables, is in no release that readers see."""


TEXTS, FILES = ("sentiment_mini",), {"image_pixels": "image", "audio_spectrum": "audio"}
"""The extractors of the model: of texts, and of a kind of attached files."""
ATTACHED = ("attachments", *FILES)
ORDER = ("reviews", "attachments", "clean_text", *TEXTS, *FILES)
VALUES_AVERAGED = {"image_pixels": "embedding", "audio_spectrum": "embedding"}


class Lake:
    """``compute`` gives what an extractor makes of one content alone, ``bytes_of`` an attached file by its sha256, and
    ``author_of`` whom every record of a review names as its author.
    """

    def __init__(
        self,
        timezone: str,
        author_key: str,
        compute: Callable[[str, Content], Computed],
        bytes_of: Callable[[str], bytes],
        author_of: Callable[[str], str | None],
    ) -> None:
        self.zone = ZoneInfo(timezone)
        self.key = author_key
        self.compute = compute
        self.bytes_of = bytes_of
        self.author_of = author_of
        self.reviews: dict[str, Record] = {}
        self.former: dict[str, date | None] = {}
        self.parts: dict[tuple[str, date], Part] = {}
        self.releases: dict[date, list[Release]] = {}
        self.forgotten_ids: set[str] = set()
        self.forgotten_authors: set[str] = set()
        self.tables: set[str] = set()
        """Those that a row was ever published in."""

    # Ingest

    def ingest(self, records: Sequence[Record], mode: str, *, allow_empty: bool) -> Accounting:
        suppressed = [record for record in records if self._is_forgotten(record)]
        refused = [record for record in records if record.refused and record not in suppressed]
        good = [record for record in records if not record.refused and record not in suppressed]
        states: dict[str, list[Record]] = {}
        for record in good:
            states.setdefault(record.review_id, []).append(record)
        snapshot = mode == "snapshot"
        gone = set(self.reviews) - set(states) - {r.review_id for r in refused} if snapshot else set()
        if _is_failure(records, refused):
            gone = set()
        # A file that is empty may be one that was lost, unless it is said that it may be empty.
        held = {record.source_file for record in records}
        now, former, accepted, undecided = dict(self.reviews), dict(self.former), Counter[date](), 0
        left: set[date | None] = set()
        for review_id in gone:
            del now[review_id], former[review_id]
        for review_id, several in states.items():
            newest = max(record.rank for record in several)
            new = min((r for r in several if r.rank == newest), key=lambda record: record.source_file)
            old = self.reviews.get(review_id)
            rivals = {r.digest for r in several if r.edited == new.edited}
            left.add(self.former.get(review_id))
            if old and new.edited < old.edited:
                continue
            undecided += len(rivals) > 1
            if old:
                moved = self.day(old) != self.day(new)
                former[review_id] = self.day(old) if moved else self.former[review_id]
                left.add(former[review_id])
            else:
                former[review_id] = None
            if old is None or new.rank != old.rank:
                accepted[self.day(new)] += 1
                now[review_id] = new
            elif snapshot and old.source_file not in held and not allow_empty:
                now[review_id] = new
        emptied = {self.day(self.reviews[review_id]) for review_id in gone} - {
            self.day(record) for record in now.values()
        }
        if emptied and not allow_empty:
            raise EmptiesDay
        self.reviews, self.former = now, former
        changed = self._store()
        return Accounting(
            records_in=len(records),
            accepted=accepted.total(),
            quarantined=len(refused),
            deduplicated=len(good) - accepted.total(),
            suppressed=len(suppressed),
            accepted_on=dict(accepted),
            gone=len(gone) if snapshot else None,
            undecided=undecided,
            days=frozenset({*map(self.day, good), *changed, *filter(None, left), *self._emptied()}),
        )

    def _is_forgotten(self, record: Record) -> bool:
        return record.review_id in self.forgotten_ids or record.author in self.forgotten_authors

    def _emptied(self) -> set[date]:
        """Days of which readers see rows, although none of their reviews is left."""
        seen = {day for day in self.releases if (now := self.current(day)) and any(p.rows for p in now.tables.values())}
        return seen - {self.day(record) for record in self.reviews.values()}

    def day(self, record: Record) -> date:
        return record.created_at.astimezone(self.zone).date()

    def _store(self) -> set[date]:
        """Make the parts of reviews and attachments fit; returns the days that changed."""
        wanted: dict[tuple[str, date], dict[Key, Row]] = {place: {} for place in self.parts if place[0] in ORDER[:2]}
        for record in self.reviews.values():
            day = self.day(record)
            wanted.setdefault(("reviews", day), {})[record.review_id,] = self._review(record)
            for position, file in enumerate(record.files):
                wanted.setdefault(("attachments", day), {})[record.review_id, position] = {
                    "review_id": record.review_id, "position": position, "kind": file.kind, "status": file.status,
                    "content_sha256": file.sha256, "bytes": file.size, "media_type": file.media_type, "day": day,
                    "reason": file.reason, "uri": file.uri, "source_sha256": record.digest,
                }  # fmt: skip
        return {day for (table, day), rows in wanted.items() if self._put(table, day, rows)}

    def _review(self, record: Record) -> Row:
        author = record.author and unicodedata.normalize("NFC", record.author).strip()
        return {
            "review_id": record.review_id, "text": record.text, "created_at": record.created_at,
            "updated_at": record.updated_at, "rating": record.rating, "course_id": record.course_id,
            "author": author and hmac.new(self.key.encode(), author.encode(), hashlib.sha256).hexdigest(),
            "attachments": len(record.attachments), "source_file": record.source_file,
            "source_sha256": record.digest, "former_day": self.former[record.review_id], "day": self.day(record),
        }  # fmt: skip

    def _put(self, table: str, day: date, rows: Mapping[Key, Row], *, anew: bool = False) -> bool:
        before = self.part(table, day)
        if before.rows == rows and not (anew and rows):
            return False
        self.parts[table, day] = Part(rows)
        self.tables.add(table)
        return True

    def part(self, table: str, day: date) -> Part:
        return self.parts.get((table, day), Part())

    # Features

    def run(self, day: date, names: Sequence[str], *, hold_empty: bool, again: bool) -> dict[str, Made]:
        """Make the day's tables and release them; ``hold_empty``: not if a text is empty."""
        made = {name: self._make(name, day, again=again) for name in ("clean_text", *names)}
        self._release(day, ("reviews", "attachments", "clean_text", *names), hold_empty=hold_empty)
        return made

    def contents(self, table: str, day: date) -> dict[Key, tuple[str | None, str, Content | None]]:
        """What a feature table reads on a day: by key the sha256, the status and the content."""
        found: dict[Key, tuple[str | None, str, Content | None]] = {}
        if table in FILES:
            for key, row in self.part("attachments", day).rows.items():
                if row["kind"] == FILES[table]:
                    sha = row["content_sha256"]
                    found[key] = sha, row["status"], self.bytes_of(sha) if row["status"] == "ok" else None
            return found
        source, column = ("reviews", "text") if table == "clean_text" else ("clean_text", "plain")
        for key, row in self.part(source, day).rows.items():
            text, status = row.get(column), row.get("status", "ok")
            if text is None:
                found[key] = None, "empty" if status == "ok" else status, None
            else:
                found[key] = hashlib.sha256(text.encode()).hexdigest(), status, text
        return found

    def _make(self, table: str, day: date, *, again: bool) -> Made:
        contents, before = self.contents(table, day), self.part(table, day)
        known = set() if again else {row["content_sha256"] for part in self._reusable(table, day) for row in part}
        rows: dict[Key, Row] = {}
        for key, (sha, status, content) in contents.items():
            ended, values = self.compute(table, content) if status == "ok" and content is not None else (status, {})
            named = dict(zip(("review_id", "position"), key, strict=False))
            rows[key] = {**named, "content_sha256": sha, "status": ended, "day": day, **values}
        published = self._put(table, day, rows, anew=again)
        new = {sha for sha, status, _ in contents.values() if status == "ok"} - known if published else set()
        computed = sum(
            sha in new if status == "ok" else published and not before.rows for sha, status, _ in contents.values()
        )
        return Made(
            "published" if published else "unchanged",
            len(rows),
            computed,
            Counter(row["status"] for row in rows.values()),
        )

    def _reusable(self, table: str, day: date) -> Iterator[Iterable[Row]]:
        """A day's own rows, and those of the days that its reviews lay in before, released ones too."""
        yield self.part(table, day).rows.values()
        for place in {row["former_day"] for row in self.part("reviews", day).rows.values()} - {None, day}:
            yield self.part(table, place).rows.values()
            for release in self.releases.get(place, ()):
                if table in release.tables:
                    yield release.tables[table].rows.values()

    # Releases

    def current(self, day: date) -> Release | None:
        return next((release for release in reversed(self.releases.get(day, ())) if release.visible), None)

    def made(self, day: date) -> Release | None:
        """What the last run left, or a person approved: all but rollbacks."""
        return next((r for r in reversed(self.releases.get(day, ())) if r.verdict != "rolled back"), None)

    def _release(self, day: date, names: Sequence[str], *, hold_empty: bool) -> None:
        stand = {name: self.part(name, day) for name in names}
        releases, last = self.releases.get(day, []), self.made(day)
        newest = releases[-1] if releases else None
        if newest is None and not any(part.rows for part in stand.values()):
            return
        same = last is not None and all(part.is_same(last.tables.get(name)) for name, part in stand.items())
        if same and newest and newest.visible:
            return
        for name, part in newest.tables.items() if newest else ():
            if name not in stand and self._fits(name, day, part):
                stand[name] = part
        now = self.current(day)
        pinned = now is not None and now.verdict == "rolled back"
        empty = any(row.get("status") == "empty" for part in stand.values() for row in part.rows.values())
        held = pinned or (hold_empty and empty)
        if not (same and held):
            self._add(day, "held" if held else "released", stand)

    def _fits(self, table: str, day: date, part: Part) -> bool:
        """Whether a table's rows are of what the day holds now."""
        now = {key: sha or status for key, (sha, status, _) in self.contents(table, day).items()}
        return now == {key: row["content_sha256"] or row["status"] for key, row in part.rows.items()}

    def _add(self, day: date, verdict: Any, tables: Mapping[str, Part], back_to: Release | None = None) -> None:
        known = self.releases.setdefault(day, [])
        known.append(Release(known[-1].sequence + 1 if known else 1, verdict, tables, back_to))

    def approve(self, day: date) -> None:
        known = self.releases.get(day, [])
        if not known or known[-1].visible:
            raise NothingToDo
        self._add(day, "approved", known[-1].tables)

    def rollback(self, day: date) -> None:
        """To what readers saw before what they see now; once more, to what they saw before that."""
        now = self.current(day)
        while now and now.back_to:
            now = now.back_to
        older = [r for r in self.releases.get(day, ()) if now and r.sequence < now.sequence and r.visible]
        target = next((r for r in reversed(older) if now and not r.shows_same(now)), None)
        if target is None:
            raise NothingToDo
        self._add(day, "rolled back", target.tables, target)

    # Forgetting and keeping small

    def forget(self, *, review: str | None = None, author: str | None = None) -> None:
        if review:
            self.forgotten_ids.add(review)
        if author:
            self.forgotten_authors.add(author)

        def is_theirs(review_id: str) -> bool:
            return review_id == review or (author is not None and self.author_of(review_id) == author)

        def without(part: Part) -> Part:
            hit = any(is_theirs(review_id) for review_id in part.ids)
            return Part({key: row for key, row in part.rows.items() if not is_theirs(key[0])}) if hit else part

        for review_id in [each for each in self.reviews if is_theirs(each)]:
            del self.reviews[review_id], self.former[review_id]
        self.parts = {place: without(part) for place, part in self.parts.items()}
        for day, releases in self.releases.items():
            hit = [r for r in releases if any(without(part) is not part for part in r.tables.values())]
            if not hit:
                continue
            ends = [release for release in (self.current(day), self.made(day), releases[-1]) if release]
            kept = [release for release in releases if release not in hit and release not in ends]
            for release in (release for release in releases if release in ends):
                tables = {}
                for name, part in release.tables.items():
                    left, now = without(part), self.part(name, day)
                    tables[name] = now if left is not part and left.rows == now.rows else left
                sequence = max(r.sequence for r in [*releases, *kept]) + 1
                kept.append(Release(sequence, release.verdict, tables, release.back_to))
            self.releases[day] = kept

    def maintain(self, newest: int) -> None:
        for day, releases in self.releases.items():
            needed = [*releases[-newest:], self.current(day), self.made(day)]
            self.releases[day] = [release for release in releases if release in needed]

    # What readers see

    def seen(self, days: Collection[date] | None, tables: Sequence[str], release: Release | None = None) -> Any:
        """(day, its release) of the days asked for, in their order."""
        if release is not None:
            there = {day: release for day, known in self.releases.items() if release in known}
        else:
            there = {day: now for day in self.releases if (now := self.current(day))}
        if days is not None and set(days) - set(there):
            raise NotSeen
        chosen = [(day, there[day]) for day in sorted(there) if days is None or day in days]
        if (days is not None or release is not None) and any(set(tables) - set(r.tables) for _, r in chosen):
            raise NotSeen
        return chosen

    def rows(self, days: Collection[date] | None, table: str, release: Release | None = None) -> list[Row]:
        """One table as it is: day by day, sorted by its key."""
        chosen = self.seen(days, [table], release)
        parts = (release.tables[table] for _, release in chosen if table in release.tables)
        return [part.rows[key] for part in parts for key in sorted(part.rows)]

    def seen_ids(self, day: date) -> set[str]:
        now = self.current(day)
        return now.tables["reviews"].ids if now else set()

    def features_of(self, day: date, review_id: str) -> list[tuple[str, int | None, str, str | None]]:
        """(table, position, status, content_sha256) of each feature of a review that readers see."""
        now = self.current(day)
        return [
            (name, row.get("position"), row["status"], row["content_sha256"])
            for name, part in (now.tables if now else {}).items()
            if name not in ("reviews", "attachments")
            for key, row in part.rows.items()
            if key[0] == review_id
        ]

    def joined(
        self,
        days: Collection[date] | None,
        tables: Sequence[str],
        pool: str | None,
        columns: Mapping[str, Sequence[str]],
        release: Release | None = None,
    ) -> list[dict[str, Any]]:
        """A row per review of a released day, sorted by its id: of attachments a list or their mean."""
        found: dict[tuple[str, date], dict[str, Any]] = {}
        for day, seen in self.seen(days, tables, release):
            for name in (name for name in tables if name in seen.tables):
                rows = seen.tables[name].rows
                mine: dict[str, list[Row]] = {}
                for key in sorted(rows):
                    mine.setdefault(key[0], []).append(rows[key])
                for review_id, several in mine.items():
                    row = found.setdefault((review_id, day), {"review_id": review_id})
                    for column in columns[name]:
                        values = [each.get(column) for each in several]
                        if name not in ATTACHED:
                            (row[f"{name}.{column}"],) = values
                        elif pool and column == VALUES_AVERAGED.get(name):
                            row[f"{name}.{column}"] = mean([value for value in values if value is not None])
                        else:
                            row[f"{name}.{column}"] = values
        return [found[place] for place in sorted(found)]


def _is_failure(records: Sequence[Record], refused: Sequence[Record]) -> bool:
    """Whether so much was refused, of all records or of one file, that a snapshot lets nothing go."""
    files, theirs = Counter(r.source_file for r in records), Counter(r.source_file for r in refused)
    most = len(records) / 5 if len(refused) < len(records) else 0
    return len(refused) > most or any(2 <= files[name] == theirs[name] for name in files)


def mean(vectors: Sequence[bytes]) -> tuple[float, ...] | None:
    numbers = [memoryview(vector).cast("f").tolist() for vector in vectors]
    return tuple(map(fmean, zip(*numbers, strict=True))) if numbers else None
