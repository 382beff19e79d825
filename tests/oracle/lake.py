"""The lake under test beside the model: the same is done to both, and all that readers get is compared."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otzyv.schemas.tables import QUALITY, TABLES
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.loop import Content, extract
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.config import LakeConfig
from otzyv.tasks.lake.delta.publish import EmptyDay
from otzyv.tasks.lake.lake import NotReleased
from otzyv.tasks.lake.releases import NoSuchRelease
from otzyv.tasks.lake.upkeep.export import export
from otzyv.tasks.lake.upkeep.maintain import Keep, maintain
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.explain import explain
from otzyv.tasks.pipeline.forget import forget
from otzyv.tasks.pipeline.ingest import Source
from otzyv.tasks.pipeline.make import TableRun, make
from otzyv.tasks.quality.verdict import Limits
from otzyv.tasks.record import record
from otzyv.tasks.release import release
from tests.oracle import model, source
from tests.oracle.model import ATTACHED, ORDER, NotSeen, Record

KEY = "a key of tests"
FREE = Limits(fewest=10**9)
HOLDS_EMPTY = Limits(fewest=1, not_ok=1, empty=0, fallen=1, labels=1, vectors=float("inf"))
NOT_MODELLED = ("fingerprint", "run_key", "course_title", "source")
"""Columns that are looked at otherwise, or are empty."""


@cache
def compute(name: str, content: model.Content) -> model.Computed:
    """What an extractor makes of one content, alone and outside of any lake."""
    extractor = CLEANING if name == "clean_text" else get(name)
    data = content if isinstance(content, bytes) else content.encode()
    (batch,) = extract(extractor, None, [Content(hashlib.sha256(data).hexdigest(), len(content), lambda: content)])
    values = {column.name: _values(batch[column.name])[0] for column in extractor.card.value_columns}
    return batch["status"][0].as_py(), values


class Both:
    """A lake in a folder, and its model."""

    def __init__(self, folder: Path, timezone: str) -> None:
        self.source = folder / "source"
        self.source.mkdir()
        self.out = folder
        self.done = True
        self.lake = Lake.create(folder / "lake", LakeConfig(timezone=timezone))
        self.model = model.Lake(timezone, KEY, compute, source.BY_SHA256.__getitem__, source.author_of)

    def ingest(self, given: Sequence[Record], mode: Any, *, allow_empty: bool) -> frozenset[date]:
        """Returns the days that a run would make next."""
        self.done = True
        read = source.write(self.source, given, self.model.zone)
        asked = Source(str(self.source), mode, allow_empty=allow_empty, allow_gone=True)
        try:
            wanted = self.model.ingest(read, mode, allow_empty=allow_empty)
        except model.EmptiesDay:
            with pytest.raises(EmptyDay):
                ingest.fn(self.lake.uri, asked, KEY)
            return frozenset()
        found = ingest.fn(self.lake.uri, asked, KEY)
        told = {name: getattr(found, name) for name in model.Accounting.__annotations__}
        accounting = model.Accounting(**told | {"days": frozenset(found.days)})
        assert accounting == wanted, f"{accounting}, not {wanted}"
        return wanted.days

    def run(self, day: date, names: Sequence[str], *, hold_empty: bool, again: bool) -> None:
        self.done = True
        wanted = self.model.run(day, names, hold_empty=hold_empty, again=again)
        runs = [make(self.lake, CLEANING, day, again=again)]
        runs += [make(self.lake, get(name), day, again=again) for name in names]
        record.fn(self.lake.uri, runs)
        release.fn(self.lake.uri, [day], runs, HOLDS_EMPTY if hold_empty else FREE)
        self.check_figures(day, [run.table for run in runs if run.rows])
        made = {run.table: _made(run) for run in runs}
        assert made == wanted, f"{day}: {made}, not {wanted}"

    def approve(self, day: date) -> None:
        self.done = True
        try:
            self.model.approve(day)
        except model.NothingToDo:
            with pytest.raises(NoSuchRelease):
                releases.approve(self.lake.storage, day)
        else:
            releases.approve(self.lake.storage, day)

    def rollback(self, day: date) -> None:
        self.done = True
        try:
            self.model.rollback(day)
        except model.NothingToDo:
            with pytest.raises(NoSuchRelease):
                releases.rollback(self.lake.storage, day)
        else:
            releases.rollback(self.lake.storage, day)

    def forget(self, *, review: str | None = None, author: str | None = None) -> None:
        self.done = True
        self.model.forget(review=review, author=author)
        forget(self.lake.uri, KEY, review=review, author=author, ahead=True)

    def maintain(self, newest: int) -> None:
        self.done = True
        self.model.maintain(newest)
        maintain(self.lake, Keep(releases=newest, days=0, grace_hours=0))

    # What readers see

    def check(self) -> None:
        """All that readers see of all days, if anything was done since the last time."""
        if not self.done:
            return
        self.check_releases()
        for name in self.tables():
            self.check_table(name, None)
        self.check_joined(self.tables(), None, None)
        self.done = False

    def tables(self) -> list[str]:
        return [name for name in ORDER if name in self.model.tables or name in ORDER[:3]]

    def check_releases(self) -> None:
        """Each release with its tables, and what stands unreleased."""
        known = {day: several for day, several in self.lake.history().items() if several}
        assert {day: [(r.sequence, r.verdict) for r in several] for day, several in known.items()} == {
            day: [(r.sequence, r.verdict) for r in several] for day, several in self.model.releases.items() if several
        }
        seen = {day: now.sequence for day in self.model.releases if (now := self.model.current(day))}
        assert {day: each.sequence for day, each in self.lake.releases().items()} == seen
        for day, several in known.items():
            for found, wanted in zip(several, self.model.releases[day], strict=True):
                assert set(found.by_name) == set(wanted.tables), (day, found.sequence)
        for name in self.tables():
            days = sorted({day for table, day in self.model.parts if table == name})
            wanted_rows = [
                rows[key] for day in days for rows in [self.model.part(name, day).rows] for key in sorted(rows)
            ]
            _check(self.lake.read(name).sort_by([("day", "ascending"), *_keys(name)]), wanted_rows, name)

    def check_table(self, name: str, days: Collection[date] | None) -> None:
        """One table, as it is."""
        try:
            wanted = self.model.rows(days, name)
        except NotSeen:
            with pytest.raises(NotReleased):
                self.lake.frame(_asked(days), name, "arrow")
            return
        found = pa.table(self.lake.frame(_asked(days), name, "arrow"))
        _check(found, wanted, name)
        if "run_key" in found.column_names:
            assert len(found["fingerprint"].unique()) <= 1
            per_day = found.group_by("day").aggregate([("run_key", "count_distinct")])
            assert set(per_day["run_key_count_distinct"].to_pylist()) <= {1}

    def check_joined(
        self, names: Sequence[str], days: Collection[date] | None, pool: Any, number: int | None = None
    ) -> None:
        """Tables side by side; ``number``: not of what readers see but of one of all releases."""
        every = [(day, n) for day, several in sorted(self.model.releases.items()) for n in range(len(several))]
        past, release_id = None, "latest"
        if number is not None and every:
            day, n = every[number % len(every)]
            past, release_id = self.model.releases[day][n], self.lake.history()[day][n].release_id
        columns = self._columns(names)
        try:
            wanted = self.model.joined(days, names, pool, columns, past)
        except NotSeen:
            with pytest.raises(NotReleased):
                self.lake.frame(_asked(days), names, "arrow", release=release_id, pool=pool)
            return
        found = pa.table(self.lake.frame(_asked(days), names, "arrow", release=release_id, pool=pool))
        if len(names) == 1:  # pooled: not renamed
            found = found.rename_columns([n if n == "review_id" else f"{names[0]}.{n}" for n in found.column_names])
        _check(found, wanted, "+".join(names), [f"{name}.{column}" for name in names for column in columns[name]])

    def check_export(self, names: Sequence[str], days: Collection[date] | None, suffix: str) -> None:
        """A file holds the days one after the other, each as the frame has it."""
        path = self.out / f"out{suffix}"
        path.unlink(missing_ok=True)
        try:
            seen = [day for day, _ in self.model.seen(days, names)]
        except NotSeen:
            with pytest.raises(NotReleased):
                export(self.lake, _asked(days), names, path)
            return
        if not seen:
            with pytest.raises(LookupError):
                export(self.lake, _asked(days), names, path)
            return
        columns = self._columns(names)
        wanted: list[Mapping[str, Any]] = []
        for day in seen:
            # A day that was released without one of the tables lacks its rows.
            there = [name for name in names if name in self.model.seen([day], [])[0][1].tables]
            if len(names) == 1:
                wanted += self.model.rows([day], names[0]) if there else []
            else:
                wanted += self.model.joined([day], there, None, columns)
        asked = None if len(names) == 1 else [f"{name}.{column}" for name in names for column in columns[name]]
        assert export(self.lake, _asked(days), names, path) == len(wanted)
        if suffix == ".parquet":
            _check(pq.read_table(path), wanted, names[0], asked)
        else:
            _check_csv(path, wanted)

    def check_figures(self, day: date, names: Sequence[str]) -> None:
        """What the quality table tells of the day: rows, and how many of each status and label."""
        rows = self.lake.read(QUALITY, day).to_pylist()
        for name in names:
            told = {row["metric"]: row["value"] for row in rows if row["table"] == name}
            there = self.model.part(name, day).rows.values()
            assert told["rows"] == len(there)
            for column in ("status", "label", "language"):
                wanted = Counter(f"{column}.{row[column]}" for row in there if row.get(column) is not None)
                assert {metric: n for metric, n in told.items() if metric.startswith(f"{column}.")} == wanted

    def check_explained(self, number: int) -> None:
        """Of one review: each of its features has its own content, and comes out of it again."""
        every = [(day, name) for day in self.model.releases for name in self.model.seen_ids(day)]
        if not every:
            return
        day, review_id = sorted(every)[number % len(every)]
        found = explain(self.lake, review_id, day, recompute=True).features
        told = [(f.table, f.position, f.status, f.content_sha256) for f in found]
        assert told == sorted(self.model.features_of(day, review_id), key=lambda one: (one[0], one[1] or 0))
        assert {feature.recomputed.outcome for feature in found if feature.recomputed} <= {"equal", "within"}

    def _columns(self, names: Sequence[str]) -> dict[str, list[str]]:
        tables = {name: TABLES.get(name) or get(name).card.table for name in names}
        return {
            name: [
                n
                for n in table.names
                if n not in ("review_id", *NOT_MODELLED) and (n, name in ATTACHED) != ("day", True)
            ]
            for name, table in tables.items()
        }


def _made(run: TableRun) -> model.Made:
    assert run.rows == run.computed + run.reused
    assert run.state in ("published", "unchanged")
    return model.Made(run.state, run.rows, run.computed, run.status)


def _asked(days: Collection[date] | None) -> list[date] | None:
    return None if days is None else list(days)


def _keys(name: str) -> list[tuple[str, str]]:
    return [("review_id", "ascending"), *([("position", "ascending")] if name in ATTACHED else [])]


def _check(
    found: pa.Table, wanted: Sequence[Mapping[str, Any]], told: str, columns: Sequence[str] | None = None
) -> None:
    """Row by row and column by column; the first difference is told."""
    ids = [row["review_id"] for row in wanted]
    assert found["review_id"].to_pylist() == ids, told
    for name in columns or [name for name in found.column_names if name not in NOT_MODELLED]:
        for at, (one, other) in enumerate(zip(_values(found[name]), (row.get(name) for row in wanted), strict=True)):
            assert _same(one, other), f"{told}: {name} of {ids[at]!r} is {_short(one)}, not {_short(other)}"


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Python's objects; a vector is the bytes of its float32, as in the model."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_list(whole.type):
        return list(whole.to_pylist())
    vectors = whole.type.value_type == pa.float32()
    inner: Any = whole.values.to_numpy(zero_copy_only=False) if vectors else _values(whole.values)
    spans = [inner[start:end] for start, end in pairwise(whole.offsets.to_pylist())]
    cut = [span.tobytes() for span in spans] if vectors else spans
    return [span if there else None for span, there in zip(cut, whole.is_valid().to_pylist(), strict=True)]


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, tuple):  # means, of which no digits are promised
        return one is not None and np.allclose(np.frombuffer(one, np.float32), other, atol=1e-6)
    return bool(one == other)


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) < 200 else f"{said[:200]}…"


def _check_csv(path: Path, wanted: Sequence[Mapping[str, Any]]) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(wanted)
    for row, other in zip(rows, wanted, strict=True):
        for name, value in other.items():
            assert _same_cell(name, row[name], value), (
                f"{name} of {other['review_id']!r}: {row[name][:200]}, not {value}"
            )


def _same_cell(name: str, cell: str, value: Any) -> bool:
    """Whether a cell gives a value again: no text begins as a formula, numbers are those of float32."""
    if value is None:
        return cell == ""
    if name in ("review_id", "course_id") and re.fullmatch(r"[-+@][\w.:-]*", value):
        return bool(cell == value)  # a word after its sign calls nothing
    if isinstance(value, str):
        return cell == f"'{value}" if value[:1] in {*"=+-@\t\r\n"} and value else cell == value
    if isinstance(value, datetime):
        return bool(datetime.fromisoformat(cell) == value)
    if isinstance(value, date):
        return bool(date.fromisoformat(cell) == value)
    if isinstance(value, bytes | list):
        return _same_json(json.loads(cell), value)
    return bool(float(np.float32(cell)) == value)


def _same_json(said: Any, value: Any) -> bool:
    if isinstance(value, bytes):
        return isinstance(said, list) and np.array(said, np.float32).tobytes() == value
    if isinstance(value, list):
        return len(said) == len(value) and all(map(_same_json, said, value))
    return bool(said == value)
