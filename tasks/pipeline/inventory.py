"""What of a lake's days stands as the last run left it: a comparison of names, without a data file being opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import Card, Extractor, Weights, get
from otzyv.tasks.extractors.registry import in_order
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import Snapshot
from otzyv.tasks.lake.features.contents import run_key
from otzyv.tasks.lake.releases import Release, current_files
from otzyv.tasks.lake.releases import made as last_made
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.configure import configured
from otzyv.tasks.pipeline.rates import Rate
from otzyv.tasks.pipeline.spans import SPAN_SECONDS, cut

UNKNOWN_ROWS = 2048
"""Of how many rows a span is whose cost no earlier run tells."""


@dataclass(frozen=True, slots=True)
class Made:
    """An extractor as this lake runs it, with its table as it stands."""

    extractor: Extractor
    weights: Weights | None
    fingerprint: str
    snapshot: Snapshot

    @property
    def card(self) -> Card:
        return self.extractor.card


@dataclass(frozen=True, slots=True)
class Standing:
    """A table's day that needs no run: its rows by status, and what names the publication."""

    table: str
    status: Mapping[str, int]
    run_key: str
    fingerprint: str

    @property
    def rows(self) -> int:
        return sum(self.status.values())


class Inventory:
    """A lake's tables as one look at their logs found them, and what runs have released of them.

    Raises LostTable, and what ``configured`` does for an extractor that can't run here.
    """

    def __init__(self, lake: Lake, extractors: Sequence[str]) -> None:
        lake.check_sources()
        self.lake = lake
        self.sources: Mapping[str, Snapshot] = {
            table.name: lake.snapshot(table) for table in (REVIEWS, ATTACHMENTS, CLEAN_TEXT)
        }
        self.cleaning = self._made(CLEANING)
        self.extractors = tuple(self._made(get(name)) for name in in_order(extractors))
        self.releases: Mapping[date, Sequence[Release]] = lake.history()

    def _made(self, extractor: Extractor) -> Made:
        extractor, weights = configured(self.lake, extractor)
        card = extractor.card
        return Made(extractor, weights, card.fingerprint(weights), self.lake.snapshot(card.table))

    @property
    def made(self) -> tuple[Made, ...]:
        """``clean_text`` and the tables of the extractors, each after the one that it reads."""
        return (self.cleaning, *self.extractors)

    @cached_property
    def days(self) -> tuple[date, ...]:
        """Days that have reviews, and days that have features of reviews that went."""
        snapshots = (self.sources[REVIEWS.name], *(made.snapshot for made in self.made))
        return tuple(sorted({day for snapshot in snapshots for day in snapshot.days}))

    def released(self, day: date) -> bool:
        """Whether the day's tables stand as the last run released or held them.

        A held day waits for a person, and one that a person rolled back stays so: neither is anything to do.
        """
        release = last_made(self.releases.get(day, ()))
        snapshots = (self.sources[REVIEWS.name], self.sources[ATTACHMENTS.name], *(made.snapshot for made in self.made))
        now = [current_files(snapshot.table, snapshot.of(day)) for snapshot in snapshots]
        if release is None:
            return not any(table.files for table in now)
        then = release.by_name
        return all(then[table.table] == table if table.table in then else not table.files for table in now)

    def unchanged(self, day: date) -> tuple[Standing, ...]:
        """The day's tables where a run of it would find nothing to do: all released, whole, as they would be made now.

        None as well where the release alone does not tell: a former otzyv wrote it, or reviews were forgotten since.
        """
        release = last_made(self.releases.get(day, ()))
        if release is None or not self.released(day):
            return ()
        found = [self._stands(made, day, release) for made in self.made]
        stands = tuple(each for each in found if each)
        return stands if len(stands) == len(found) else ()

    def _stands(self, made: Made, day: date, release: Release) -> Standing | None:
        then = release.by_name.get(made.card.name)
        if then is None or then.made is None:
            return None
        key = run_key(made.card.name, day, then.made.inputs, made.fingerprint)
        if then.files and then.run_key != key:
            return None
        return Standing(made.card.name, then.made.status, key, made.fingerprint)

    def spans(self, days: Sequence[date], rates: Mapping[str, Rate], seconds: float = SPAN_SECONDS) -> list[list[date]]:
        """The days, in their order, as they are made together, in about so many ``seconds``.

        ``rates``: what a row of a table has cost so far.
        """
        return cut(days, lambda day: self._seconds(day, rates), self._rows, seconds)

    def _seconds(self, day: date, rates: Mapping[str, Rate]) -> float:
        """What the day would cost if all of it had to be computed; what no run tells counts once for all its tables."""
        rows = {made.card.name: self._read_by(made.card, day) for made in self.made}
        known = sum(rates[name].seconds * count for name, count in rows.items() if name in rates)
        unknown = max((count for name, count in rows.items() if name not in rates), default=0)
        return known + unknown * SPAN_SECONDS / UNKNOWN_ROWS

    def _read_by(self, card: Card, day: date) -> int:
        source = ATTACHMENTS if card.modality in ("image", "audio") else REVIEWS
        return sum(file.rows for file in self.sources[source.name].of(day))

    def _rows(self, day: date) -> int:
        return sum(file.rows for name in (REVIEWS.name, ATTACHMENTS.name) for file in self.sources[name].of(day))

    def held(self, day: date) -> bool:
        """Whether the day waits for a person."""
        releases = self.releases.get(day, ())
        return bool(releases) and not releases[-1].visible
