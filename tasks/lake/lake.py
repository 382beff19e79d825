"""A lake, as a notebook or a task uses it: ``Lake(uri).frame(days, tables)``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import Schema

from otzyv.schemas.errors import InvalidInput, LakeError, NotFound
from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import ATTACHMENTS, REVIEWS, TABLES
from otzyv.tasks.lake import config, releases
from otzyv.tasks.lake.config import LakeConfig
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, open_snapshot, open_state, read_batches, read_table
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.frame import Pool, attached, joined, per_review
from otzyv.tasks.lake.releases import Release

if TYPE_CHECKING:
    import pandas as pd


Kind = Literal["pandas", "arrow"]
"""What a frame comes as."""


class MixedFingerprints(LakeError):
    """Days of one table were made by different models or code: their vectors can't stand in one column."""


class NotReleased(LakeError, LookupError):
    """A day was asked for that no release makes visible."""


class LostTable(LakeError):
    """A table's log is gone, although readers see rows of it."""


class Lake:
    """An existing lake. ``Lake.create`` makes one (or opens the one that is there)."""

    def __init__(self, uri: str | Path) -> None:
        self.storage = Storage(uri)
        self.constants = config.read(self.storage)

    @classmethod
    def create(cls, uri: str | Path, wanted: LakeConfig | None = None) -> Lake:
        config.create(Storage(uri), wanted or LakeConfig())
        return cls(uri)

    def __repr__(self) -> str:
        return f"Lake({self.storage.uri!r})"

    @property
    def uri(self) -> str:
        return self.storage.uri

    def snapshot(self, table: Table) -> Snapshot:
        return open_snapshot(self.storage, table)

    def table(self, name: str) -> Table:
        """The definition of a table of this lake; an extractor's is read off the table itself."""
        if name in TABLES:
            return TABLES[name]
        state = open_state(self.storage, name)
        if state is None:
            raise NotFound(f"no table {name!r} in {self.uri}; there are: {', '.join(self.tables())}")
        fields = pa.schema(Schema.from_json(state.definition).to_arrow())
        columns = tuple(Column(name=f.name, type=f.type, doc="", required=not f.nullable) for f in fields)
        keys = tuple(key for key in ("review_id", "position") if key in fields.names)
        return Table(name=name, row=state.description, columns=columns, keys=keys)

    def tables(self) -> tuple[str, ...]:
        """The names of the tables that are there."""
        folders = self.storage.folders()
        return tuple(name for name in folders if self.storage.files(f"{name}/_delta_log"))

    def read(self, table: Table | str, day: date | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The newest publication of a table, or of one day of it, released or not. A table's name stands for it."""
        table = self.table(table) if isinstance(table, str) else table
        snapshot = self.snapshot(table)
        return read_table(self.storage, table, snapshot.files if day is None else snapshot.of(day), columns)

    def head(self, table: Table | str, day: date | None, limit: int) -> pa.Table:
        """The first rows of the newest publication by day and keys, without reading all columns of the rest."""
        table = self.table(table) if isinstance(table, str) else table
        snapshot = self.snapshot(table)
        found = table.arrow.empty_table()
        for each in [day] if day is not None else sorted({file.day for file in snapshot.files}, key=str):
            found = pa.concat_tables([found, self._first(table, snapshot.of(each), limit - found.num_rows)])
            if found.num_rows == limit:
                break
        return found

    def _first(self, table: Table, files: Sequence[DataFile], limit: int) -> pa.Table:
        """The first rows by key of some files, which come in no order, and of one of which rows may come in none."""
        keys = read_table(self.storage, table, files, table.keys)
        order = pc.sort_indices(keys, [(name, "ascending") for name in table.keys])[:limit]
        wanted, start, batches = pa.array(sorted(order.to_pylist()), pa.int64()), 0, list[pa.RecordBatch]()
        for batch in read_batches(self.storage, table, files, rows=limit):
            here = pa.array(range(start, start + batch.num_rows), pa.int64())
            batches.append(batch.filter(pc.is_in(here, value_set=wanted)))
            start += batch.num_rows
            if sum(each.num_rows for each in batches) == len(wanted):
                break
        return pa.Table.from_batches(batches, table.arrow).take(pc.index_in(order.cast(pa.int64()), value_set=wanted))

    @property
    def days(self) -> list[date]:
        """The days that have reviews, or that readers see something of."""
        return sorted({*self.snapshot(REVIEWS).days, *self.releases()})

    def releases(self, days: Sequence[date] | None = None) -> dict[date, Release]:
        """The release that readers see, for each day that has one."""
        return releases.latest(self.storage, days)

    def history(self, days: Sequence[date] | None = None) -> dict[date, tuple[Release, ...]]:
        """All releases of each day, held ones too, oldest first."""
        return releases.history(self.storage, days)

    def lost(self) -> dict[str, list[date]]:
        """Tables whose log is gone although readers see rows of them, and the days of which they do."""
        there = self.tables()
        found: dict[str, list[date]] = {}
        for day, release in sorted(self.releases().items()):
            for table in release.tables:
                if table.files and table.table not in there:
                    found.setdefault(table.table, []).append(day)
        return found

    def check_sources(self, coming: Collection[date] = ()) -> None:
        """Raises LostTable where the reviews or their attachments are lost, and not all of their days are ``coming`` in
        now: the others would be made empty.
        """
        if all(self.snapshot(table).version >= 0 for table in (REVIEWS, ATTACHMENTS)):
            return
        lost = self.lost()
        for name in (REVIEWS.name, ATTACHMENTS.name):
            if days := sorted({*lost.get(name, ())} - {*coming}):
                raise LostTable(
                    f"there is no table {name!r} any more, although {len(days)} days with rows of it are released "
                    f"({days[0]} to {days[-1]}): bring {self.storage.at(name)} back from a backup, or the reviews of "
                    f"all these days from their source at once: otzyv run --source SOURCE --lake {self.uri}"
                )

    def frame(
        self,
        days: Sequence[date | str] | date | str | None,
        tables: Sequence[str],
        kind: Kind = "pandas",
        *,
        release: str = "latest",
        pool: Pool | None = None,
    ) -> pd.DataFrame | pa.Table:
        """Released rows of one or more tables, joined by review and day; all released days where ``days`` is None.

        Days are dates, or texts such as ``2026-03-01``; one day, and one table's name, may stand alone.
        One table comes as it is. Of several, columns are named ``table.column``; a table with a row per attachment
        gives a list per review, in the order of its positions, or with ``pool="mean"`` the mean of its vectors and
        numbers. A review that has moved is a row of both days until the day that it left is released again.
        ``release``: what readers see, or the id of one release (or its first digits), as it was or as it is
        held. Raises NotReleased for a day that was asked for and has no release, or none with one of the tables; and
        MixedFingerprints if the days of a table were made by different models. Both name the days. Without ``days``,
        those that were released without a table lack its rows.
        """
        for name, said, known in (("kind", kind, get_args(Kind)), ("pool", pool, (None, *get_args(Pool)))):
            if said not in known:  # a notebook has no type checker
                raise InvalidInput(f"no {name} {said!r}; there are: {', '.join(map(repr, known))}")
        tables = [tables] if isinstance(tables, str) else tables
        chosen = self._chosen(_dates(days), tables, release)
        whole = self._frame([self.table(name) for name in tables], chosen, pool)
        return whole if kind == "arrow" else whole.to_pandas()

    def frames(self, days: Sequence[date] | None, tables: Sequence[str]) -> Iterator[pa.Table]:
        """What ``frame`` gives, joined day by day, so that memory holds one day. Raises what it does, at the start."""
        chosen = self._chosen(days, tables, "latest")
        known = [self.table(name) for name in tables]
        return (self._frame(known, [each], None) for each in chosen)

    def _frame(self, tables: Sequence[Table], chosen: Sequence[Release], pool: Pool | None) -> pa.Table:
        parts = [self._released(table, chosen) for table in tables]
        if len(parts) > 1:
            return joined(tables, parts, pool)
        return per_review(parts[0], pool) if pool and attached(tables[0]) else parts[0]

    def _chosen(self, days: Sequence[date] | None, tables: Sequence[str], release: str) -> list[Release]:
        """The releases to read, in the order of their days, once it is known that they can be read together."""
        if not tables:
            raise InvalidInput("name at least one table")
        if release == "latest":
            seen = self.releases(days)
        else:
            found = releases.find(self.storage, release)
            seen = {found.day: found}
        missing = sorted(set(days or ()) - set(seen))
        if missing:
            named = ", ".join(str(day) for day in missing)
            there = self.releases() if release == "latest" else seen
            raise NotReleased(f"no release of {named}; released days: {_span(there)}")
        for name in tables:
            if "review_id" not in self.table(name).keys:
                raise InvalidInput(
                    f"table {name!r} has no rows of reviews, so it is in no release; `Lake.read` reads it"
                )
        for name in tables if days is not None or release != "latest" else ():
            without = sorted(day for day, each in seen.items() if name not in each.by_name)
            if without:
                named = ", ".join(map(str, without))
                raise NotReleased(
                    f"table {name!r} is in no release of {named}, or was made of other reviews than the day has now. "
                    f"Make it with: otzyv features --lake {self.uri} --from {without[0]} --to {without[-1]} "
                    f"--extractors {name}"
                )
        chosen = [seen[day] for day in sorted(seen)]
        for name in tables:
            self._refuse_mixed(name, chosen)
        return chosen

    def _refuse_mixed(self, table: str, chosen: Sequence[Release]) -> None:
        made: dict[str | None, list[date]] = {}
        for release in chosen:
            known = release.by_name.get(table)
            if known and known.files:
                made.setdefault(known.fingerprint, []).append(release.day)
        if len(made) > 1:
            told = "; ".join(f"{(key or 'mixed')[:12]}: {', '.join(map(str, days))}" for key, days in made.items())
            oldest = min(made.values(), key=max)
            raise MixedFingerprints(
                f"table {table!r} was made by different models or code ({told}). Make them alike with: "
                f"otzyv features --lake {self.uri} --from {min(oldest)} --to {max(oldest)} --extractors {table}"
            )

    def _released(self, table: Table, chosen: Sequence[Release]) -> pa.Table:
        known = [(release.day, release.by_name[table.name]) for release in chosen if table.name in release.by_name]
        files = [DataFile(path, 0, 0, day) for day, released in known for path in released.files]
        return read_table(self.storage, table, files)


def _dates(days: Sequence[date | str] | date | str | None) -> list[date] | None:
    if days is None:
        return None
    found = []
    for day in [days] if isinstance(days, date | str) else days:
        try:
            found.append(day if type(day) is date else date.fromisoformat(day))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InvalidInput(f"{day!r} is not a day; give date(2026, 3, 1) or '2026-03-01'") from None
    return found


def _span(seen: Iterable[date]) -> str:
    days = sorted(seen)
    return f"{days[0]} to {days[-1]} ({len(days)})" if days else "none"
