"""Which inputs the tables of a day were made of: readers may see only tables of the same ones together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import get_args

import pyarrow as pa
from deltalake.exceptions import DeltaError

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.vector.pca import PCA
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile, Snapshot, TornLog, read_table
from otzyv.tasks.lake.features.artefacts import identity
from otzyv.tasks.lake.features.contents import DayContents, Reads, day_contents, run_key, source, vector_contents
from otzyv.tasks.lake.releases import Release, ReleasedTable, current_files, made_of
from otzyv.tasks.lake.upkeep.doctor import Finding
from otzyv.tasks.pipeline.make import TableRun

SOURCES = (REVIEWS.name, ATTACHMENTS.name)
"""The tables that an ingest makes; all others of a day are made of them."""


@dataclass(frozen=True)
class Edition:
    """A day's tables as one release names them.

    What they were made of the ``runs`` that made them know, and the ``last`` release of those it named as well; else it
    is read from the files that are named.
    """

    lake: Lake
    day: date
    named: Mapping[str, ReleasedTable]
    runs: Mapping[str, TableRun] = field(default_factory=dict)
    last: Release | None = None
    _digests: dict[Reads | None, str] = field(default_factory=dict)

    @cached_property
    def mixed(self) -> tuple[str, ...]:
        """The tables that were not made of the reviews and attachments named beside them, sorted.

        ``attachments`` is among them where they are not those of the reviews: an ingest was, or is, half-way.
        """
        wrong = {name for name, table in self.named.items() if name not in SOURCES and not self.fits(table)}
        return tuple(sorted(wrong if self._paired else {*wrong, ATTACHMENTS.name}))

    def fits(self, table: ReleasedTable) -> bool:
        """Whether a table was made of what is named beside it, by whatever code."""
        if self._known_to_fit(table):
            return True
        if not table.files:
            return self._empty(table.table)
        return self._made_of(table) is not None

    def _known_to_fit(self, table: ReleasedTable) -> bool:
        """Whether a run, or the last release, tells that it was made of the files that are named beside it."""
        reads = _source(table.table)
        if reads is None or reads not in self.named or not (reads in SOURCES or self.fits(self.named[reads])):
            return False
        run, files = self.runs.get(table.table), self.named[reads].files
        if run is not None and run.inputs is not None:
            made = made_of(table, self.day, run.inputs) if table.files else not run.rows
            if made and run.read == files:
                return True
        before = self.last.by_name if self.last else {}
        return before.get(table.table) == table and before.get(reads) == self.named[reads]

    def made_of(self, table: ReleasedTable) -> tuple[DayContents, bool] | None:
        """The contents that a table was made of, and whether it is whole; None if those named beside it are others.

        One that was made of another table's vectors fits where that one does.
        """
        found = self._made_of(table)
        return (self._contents(table, found[0]), found[1]) if found else None

    def _made_of(self, table: ReleasedTable) -> tuple[Reads | None, bool] | None:
        """What a table reads, None for another table's vectors, and whether it is whole; None where it does not fit."""
        for reads in self._candidates(table):
            cleaned = self.named.get(CLEAN_TEXT.name)
            if reads in ("plain", "text") and cleaned and not self.fits(cleaned):
                continue
            digest = self._digests.get(reads) or self._contents(table, reads).digest
            if reads is not None:  # contents are large, and most tables of a day read the same
                self._digests[reads] = digest
            for whole in (True, False):
                if table.run_key == run_key(table.table, self.day, digest, str(table.fingerprint), whole=whole):
                    return reads, whole
        return None

    def _candidates(self, table: ReleasedTable) -> Iterator[Reads | None]:
        """What the table may read; first what was read for others, as most tables of a day read the same."""
        if table.table.startswith(PCA):
            yield from [None] if self._base(table) else []
        elif table.table == CLEAN_TEXT.name:  # texts that cleaning leaves as they are would speak for themselves
            yield "raw"
        else:
            yield from sorted(get_args(Reads), key=lambda reads: reads not in self._digests)

    def _contents(self, table: ReleasedTable, reads: Reads | None) -> DayContents:
        if reads is None:
            base = self._base(table)
            assert base is not None
            return vector_contents(self.lake.storage, self.lake.table(base.table), self._files(base), self.day)
        read = source(reads)
        named = self.named.get(read.name)
        return day_contents(self.lake.storage, reads, self.day, Snapshot(read, 0, self._files(named) if named else ()))

    def _base(self, table: ReleasedTable) -> ReleasedTable | None:
        """The table whose vectors another was made of, if it fits the day and made by the code that the other read."""
        name = table.table.removeprefix(PCA)
        base = self.named.get(name)
        if base is None:
            try:
                definition = self.lake.table(name)
            except LookupError:  # it is gone
                return None
            base = current_files(definition, self.lake.snapshot(definition).of(self.day))
        return base if self.fits(base) and self._read_by(table, base) else None

    def _read_by(self, table: ReleasedTable, base: ReleasedTable) -> bool:
        """Whether what a table's fingerprint stands for names the fingerprint of the one that it read."""
        told = identity(self.lake.storage, str(table.fingerprint))
        return not base.files or told is None or str(base.fingerprint) in told  # of no rows it is all the same

    def _empty(self, name: str) -> bool:
        """Whether a table without rows is what the day should give, as far as its extractor is known here."""
        if name.startswith(PCA):
            base = self.named.get(name.removeprefix(PCA))
            return base is None or (not base.files and self.fits(base))
        reads = _reads(name)
        return reads is None or not self._contents(ReleasedTable(name, None, None, ()), reads).keys.num_rows

    def _files(self, table: ReleasedTable) -> tuple[DataFile, ...]:
        return tuple(DataFile(path, 0, 0, self.day, table.run_key, table.fingerprint) for path in table.files)

    @cached_property
    def _paired(self) -> bool:
        """Whether the attachments are those of the reviews: of each as many as it says, named by the same record."""
        reviews, attachments = (self.named.get(name) for name in SOURCES)
        if reviews is None or attachments is None:
            return True
        before = self.last.by_name if self.last else {}
        if before.get(reviews.table) == reviews and before.get(attachments.table) == attachments:
            return True
        told = self._rows(reviews, ["review_id", "source_sha256", "attachments"])
        there = self._rows(attachments, ["review_id", "source_sha256"])
        records = dict(zip(told["review_id"].to_pylist(), told["source_sha256"].to_pylist(), strict=True))
        named = list(zip(there["review_id"].to_pylist(), there["source_sha256"].to_pylist(), strict=True))
        if any(sha not in (None, records.get(review)) for review, sha in named):  # none: a former otzyv wrote it
            return False
        wanted = dict(zip(records, told["attachments"].to_pylist(), strict=True))
        return Counter(review for review, _ in named) == Counter({r: count for r, count in wanted.items() if count})

    def _rows(self, table: ReleasedTable, columns: Sequence[str]) -> pa.Table:
        known = REVIEWS if table.table == REVIEWS.name else ATTACHMENTS
        return read_table(self.lake.storage, known, self._files(table), columns)


def _reads(name: str) -> Reads | None:
    """What the extractor of that name reads; None of one that this process does not know."""
    if name == CLEAN_TEXT.name:
        return "raw"
    try:
        modality = get(name).card.modality
    except LookupError:
        return None
    return None if modality == "vector" else modality


def _source(name: str) -> str | None:
    """The name of the table that a table was made of; None of one whose extractor this process does not know."""
    if name.startswith(PCA):
        return name.removeprefix(PCA)
    reads = _reads(name)
    return None if reads is None else source(reads).name


def stands(lake: Lake, day: date) -> Edition:
    """The day's tables as they stand now, which a run or a release is about to read."""
    named = {
        table.name: current_files(table, lake.snapshot(table).of(day)) for table in (REVIEWS, ATTACHMENTS, CLEAN_TEXT)
    }
    return Edition(lake, day, named)


def mixed_days(lake: Lake) -> Iterator[Finding]:
    """Released days whose tables were not made of the same inputs: readers would join two editions of a review."""
    releases = {}
    with suppress(TornLog, CorruptFile, DeltaError):  # the doctor tells of damaged releases
        releases = lake.releases()
    for day, release in releases.items():
        mixed: tuple[str, ...] = ()
        with suppress(TornLog, CorruptFile, DeltaError, LookupError):  # and of what is damaged or gone
            mixed = Edition(lake, day, release.by_name).mixed
        if mixed:
            made = f"otzyv features --lake {lake.uri} --day {day}"
            names = [name for name in mixed if name not in (*SOURCES, CLEAN_TEXT.name)]
            made += f" --extractors {','.join(names)}" if names else ""
            ingest = f"otzyv run --source SOURCE --lake {lake.uri}, then " if ATTACHMENTS.name in mixed else ""
            yield Finding("mixed day", f"{day}: {', '.join(mixed)}", todo=f"{ingest}{made}")
