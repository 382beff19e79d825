"""Task: what making days would cost: the rows to compute and why, seconds and money. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from otzyv.schemas.errors import InputError
from otzyv.schemas.table import Table
from otzyv.schemas.tables import CLEAN_TEXT, REVIEWS, RUNS
from otzyv.tasks.extractors import Card
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import DataFile, read_table
from otzyv.tasks.lake.features.artefacts import identity
from otzyv.tasks.lake.features.contents import DayContents, day_contents, source, text_contents
from otzyv.tasks.lake.features.journal import Journal
from otzyv.tasks.lake.releases import waiting
from otzyv.tasks.models.store import how_to_fix, present
from otzyv.tasks.pipeline.attempts import ATTEMPT, last_failed
from otzyv.tasks.pipeline.inventory import Inventory, Made, Standing
from otzyv.tasks.pipeline.make import Decision, contents_of, decide, former_days, inputs, reusable
from otzyv.tasks.pipeline.rates import FIGURES, rates
from otzyv.tasks.pipeline.spans import SPAN_SECONDS, spans

What = Literal["stale", "failed", "again"]
"""What is made: what is stale, what failed at its last attempt, or all again."""
Reason = Literal["new day", "content", "weights", "code", "settings", "tried again", "asked for"]


NOT_HERE = "weights not here"
"""What a plan says of a table whose extractor can't run for want of its weights."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table of one day. Rows are ``new`` or ``changed`` (both computed) or ``reused``; ``gone`` ones go.

    ``contents``: how many distinct contents are computed for it, without those that an earlier day of its span needs.
    ``seconds`` and ``money`` come from the lake's earlier runs of the table, None where it has none; what a paid API
    will ask is counted where its tokens can be. ``run_key`` names the publication that would stand afterwards.
    """

    table: str
    day: date
    new: int
    changed: int
    reused: int
    gone: int
    contents: int
    why: tuple[Reason, ...]
    seconds: float | None
    money: float | None
    run_key: str

    @property
    def computed(self) -> int:
        return self.new + self.changed


@dataclass(frozen=True, slots=True)
class DayPlan:
    """One day: its tables, and whether the last run released or held them as they stand.

    ``held``: why its newest release waits for a person, None if it does not. ``span``: days of one number are made in
    one pass, None for those in which there is nothing to look into.
    """

    day: date
    tables: tuple[TablePlan, ...]
    released: bool
    held: str | None
    span: int | None = None

    @property
    def work(self) -> bool:
        """Whether a run of the day would do anything."""
        return not self.released or any(table.why for table in self.tables)

    @property
    def seconds(self) -> float | None:
        """Of the tables that have something to do; None if one of them is not known."""
        return _sum(table.seconds for table in self.tables)

    @property
    def money(self) -> float | None:
        return _sum(table.money for table in self.tables)


class NoSuchDays(InputError, LookupError):
    """The lake has none of the days that were asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked, and what it takes, day by day in the order the days would run.

    ``asked``: the days that were asked for, none where it was all; ``known``: those that the lake has.
    ``missing_weights``: extractors that have something to compute and whose weights are not here, with what fixes it.
    """

    lake: str
    what: What
    extractors: tuple[str, ...]
    days: tuple[DayPlan, ...]
    asked: tuple[date, ...]
    known: tuple[date, ...]
    missing_weights: tuple[tuple[str, str], ...] = ()

    @property
    def work(self) -> tuple[DayPlan, ...]:
        return tuple(day for day in self.days if day.work)

    @property
    def seconds(self) -> float | None:
        return _sum(day.seconds for day in self.work)

    @property
    def money(self) -> float | None:
        return _sum(day.money for day in self.work)

    @property
    def missing(self) -> tuple[date, ...]:
        """Days that were asked for and that the lake has not."""
        return tuple(sorted({*self.asked} - {*self.known}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know beside the figures: days that the lake has not, and weights that are not here."""
        return (*([self._days_note] if self.missing or not self.known else []), *self.weights_notes)

    @property
    def weights_notes(self) -> tuple[str, ...]:
        """Which extractors' weights are not here, and what fixes that."""
        return tuple(f"{name}: its weights are not here. {how_to_fix}" for name, how_to_fix in self.missing_weights)

    def without_weights(self, table: TablePlan) -> bool:
        """Whether a table can't be made as the weights that it needs are not here."""
        return table.computed > 0 and any(name == table.table for name, _ in self.missing_weights)

    def reasons(self, table: TablePlan) -> str:
        """Why there is something to do in a table, and what stands against it."""
        return ", ".join([*table.why, *([NOT_HERE] if self.without_weights(table) else [])])

    @property
    def in_words(self) -> str:
        """How many days have something to do; where none has, why."""
        said = f"{len(self.work)} of {len(self.days)} days have something to do"
        if self.work:
            return said
        if self.what == "failed":
            return f"nothing to do: {said}, as no table failed at its last attempt" if self.known else said
        waiting = sum(day.held is not None for day in self.days)
        held = f"; {waiting} of them wait for a person to approve them" if waiting else ""
        return f"nothing to do: {said}, as all stand as they would be made{held}" if self.days else said

    @property
    def _days_note(self) -> str:
        of = f" of {spans(self.missing)}" if self.missing else ""
        there = f"it has {spans(self.known)}" if self.known else "`otzyv ingest` brings some in"
        return f"no reviews{of} in {self.lake}; {there}"

    def check_days(self) -> None:
        """Raises NoSuchDays if days were asked for and the lake has none of them."""
        if self.asked and {*self.asked} == {*self.missing}:
            raise NoSuchDays(self._days_note)

    @property
    def digest(self) -> str:
        """Names the plan: the same just where the same publications would be made."""
        said = [[t.table, t.day.isoformat(), t.run_key, t.why] for day in self.work for t in day.tables]
        return hashlib.sha256(json.dumps([self.what, said]).encode()).hexdigest()


@task(name="plan", task_run_name="plan {what}")
def plan(
    lake_uri: str,
    extractors: Sequence[str],
    days: Sequence[date] | None = None,
    *,
    what: What = "stale",
    newest_first: bool = True,
    span_seconds: float = SPAN_SECONDS,
) -> Plan:
    """Plan days, all of the lake's without any. Those that it has not are ``missing`` in the plan."""
    lake = Lake(lake_uri)
    planner = _Planner(Inventory(lake, extractors))
    known = planner.there.days
    chosen = {*known} if days is None else {*known} & {*days}
    if what == "failed":
        chosen &= {day for _, day in planner.failed}
    ordered = sorted(chosen, reverse=newest_first)
    plans = tuple(planner.plan(ordered, what, span_seconds))
    computing = {table.table for day in plans for table in day.tables if table.contents}
    missing = tuple(planner.missing_weights(computing))
    return Plan(lake.uri, what, tuple(extractors), plans, tuple(days or ()), tuple(known), missing)


def passes(days: Iterable[DayPlan]) -> Iterator[tuple[list[date], list[str]]]:
    """The days and the extractors, ``clean_text`` aside, of each pass: days of one span that make the same tables."""
    for (_, tables), span in groupby(days, key=lambda day: (day.span, [table.table for table in day.tables[1:]])):
        yield [day.day for day in span], tables


@dataclass
class _Planner:
    """Tables are opened once for all days; days that the last run left as they stand are not looked into."""

    there: Inventory
    former: dict[date, list[date]] = field(default_factory=dict)
    """The days that reviews of a planned day lay in before."""
    remade: dict[tuple[str, date], set[str]] = field(default_factory=dict)
    """The contents that a table's day will hold once it is made, where a day planned after it may take them over."""

    def __post_init__(self) -> None:
        self.lake = self.there.lake
        self.waiting = waiting(self.there.releases)
        runs = self.lake.read(RUNS, columns=[*ATTEMPT, *FIGURES])
        self.rates = rates(runs)
        self.failed = last_failed(runs)

    def missing_weights(self, computing: Set[str]) -> Iterator[tuple[str, str]]:
        """Of these tables' extractors, those whose weights are not here, and what fixes that; no file is read."""
        for made in self.there.extractors:
            name, weights = made.card.name, made.weights
            if name in computing and weights and not made.card.fitted and not present(name, weights):
                yield name, how_to_fix(name, weights, [file.name for file in weights.files])

    def plan(self, days: Sequence[date], what: What, seconds: float) -> Iterator[DayPlan]:
        """The days, in their order, as they would be made: span after span."""
        stands = {day: () if what == "again" else self.there.unchanged(day) for day in days}
        left = [day for day in days if not stands[day]]
        self.former = {day: former_days(self.lake, day, self.there.sources[REVIEWS.name]) for day in left}
        # What failed may be another table on each day, so that each is a pass of its own.
        spans = [[day] for day in left] if what == "failed" else self.there.spans(left, self.rates, seconds)
        planned = {day.day: day for number, span in enumerate(spans) for day in self._span(span, what, number)}
        return (planned[day] if day in planned else self._unchanged(day, stands[day]) for day in days)

    def _unchanged(self, day: date, stands: Sequence[Standing]) -> DayPlan:
        """A day in which a run would find nothing to do."""
        tables = [TablePlan(each.table, day, 0, 0, each.rows, 0, 0, (), 0.0, 0.0, each.run_key) for each in stands]
        return DayPlan(day, tuple(tables), True, self.waiting.get(day))

    def _span(self, days: Sequence[date], what: What, number: int) -> Iterator[DayPlan]:
        again = what == "again"
        raw = {day: self._contents("raw", day) for day in days}
        tables = {day: {CLEAN_TEXT.name: table} for day, table in self._tables(self.there.cleaning, raw, again).items()}
        read: dict[date, dict[str, DayContents]] = {day: {} for day in days}
        for day in days:
            if tables[day][CLEAN_TEXT.name].why:
                cleaned = self._cleaned(raw[day], day)
                read[day] = {column: text_contents(cleaned, column) for column in ("plain", "text")}
        for made in self.there.extractors:
            contents = {day: self._read(made, day, read[day], tables[day]) for day in days}
            # What is paid is paid for a day, and made day by day.
            passes = [[day] for day in days] if made.card.backend == "api" else [days]
            for each in passes:
                for day, table in self._tables(made, {day: contents[day] for day in each}, again).items():
                    tables[day][table.table] = table
        for day in days:
            failed = self._failed(day) if what == "failed" else None
            chosen = [
                table
                for name, table in tables[day].items()
                if failed is None or not table.why or name in failed or name == CLEAN_TEXT.name
            ]
            yield DayPlan(day, tuple(chosen), self.there.released(day), self.waiting.get(day), number)

    def _failed(self, day: date) -> set[str]:
        """Tables whose last attempt failed, and those that they read."""
        failed = {table for table, place in self.failed if place == day}
        for made in reversed(self.there.extractors):
            if made.card.name in failed and made.card.reads is not None:
                failed.add(made.card.reads.name)
        return failed

    def _read(
        self, made: Made, day: date, read: dict[str, DayContents], planned: Mapping[str, TablePlan]
    ) -> DayContents:
        """What a table will be made of, once those planned before it are made; ``read``: what was read so far."""
        card = made.card
        if card.reads is None:
            if card.modality not in read:
                read[card.modality] = self._contents(card.modality, day)
            read[card.name] = read[card.modality]
        elif card.reads.name in planned and planned[card.reads.name].why:
            read[card.name] = read[card.reads.name]  # a vector is named by the content it was made of
        else:
            read[card.name] = inputs(self.lake, card, [day])[day]
        return read[card.name]

    def _contents(self, reads: Any, day: date) -> DayContents:
        return day_contents(self.lake.storage, reads, day, self.there.sources[source(reads).name])

    def _tables(self, made: Made, contents: Mapping[date, DayContents], again: bool) -> dict[date, TablePlan]:
        """A table on the days of a pass."""
        name = made.card.name
        remade = {place: self.remade[name, place] for table, place in self.remade if table == name}
        decided = decide(
            self.lake,
            made.card,
            made.fingerprint,
            made.snapshot,
            contents,
            {day: self.former[day] for day in contents},
            again=again,
            remade=remade,
        )
        planned = {day: self._table(made, each, day, decided, again=again) for day, each in contents.items()}
        for day, table in planned.items():
            if table.why and any(day in former for former in self.former.values()):
                self.remade[name, day] = {sha for sha, _ in contents[day].distinct()}
        return planned

    def _table(self, made: Made, contents: DayContents, day: date, decided: Decision, *, again: bool) -> TablePlan:
        name, before, rows, key = made.card.name, made.snapshot.of(day), contents.keys.num_rows, decided.keys[day]
        if day not in decided.days:
            return TablePlan(name, day, 0, 0, rows, 0, 0, (), 0.0, 0.0, key)
        missing = {sha for _, sha, _ in decided.missing}
        names = [*made.card.table.keys, "content_sha256"]
        there = read_table(self.lake.storage, made.card.table, before, names)
        known = set(_keys(there, made.card.table))
        # A row without content is made, not computed from anything: it counts where the day was not there before.
        computed = [
            key
            for key, sha, status in zip(
                _keys(contents.keys, made.card.table),
                contents.keys["content_sha256"].to_pylist(),
                contents.keys["status"].to_pylist(),
                strict=True,
            )
            if (sha in missing if status == "ok" else not before)
        ]
        new = sum(each not in known for each in computed)
        seconds, money = self._cost(made.card, len(computed))
        mine = {sha for place, sha, _ in decided.missing if place == day}
        asked = self._asked(made, contents, mine)
        return TablePlan(
            name,
            day,
            new,
            len(computed) - new,
            rows - len(computed),
            len(known - set(_keys(contents.keys, made.card.table))),
            len(mine),
            self._why(made, before, there, contents, again=again),
            seconds,
            money if asked is None else asked,
            key,
        )

    def _why(
        self, made: Made, before: Sequence[DataFile], there: pa.Table, contents: DayContents, *, again: bool
    ) -> tuple[Reason, ...]:
        if again:
            return ("asked for",)
        if not there.num_rows:
            return ("new day",)
        prints = {file.fingerprint for file in before}
        reasons: list[Reason] = []
        if prints != {made.fingerprint}:
            reasons += self._differences(made, prints)
        if _pairs(there, made.card.table) != _pairs(contents.keys, made.card.table):
            reasons.append("content")
        return tuple(reasons) or ("tried again",)

    def _differences(self, made: Made, prints: Iterable[str | None]) -> list[Reason]:
        """What of an extractor's identity is not as it was when the day was made."""
        now = json.loads(made.card.identity(made.weights))
        found: set[Reason] = set()
        for fingerprint in prints:
            told = identity(self.lake.storage, fingerprint or "")
            then = json.loads(told) if told is not None else {}
            found |= {_IDENTITY.get(name, "settings") for name in now if now[name] != then.get(name)}
        return sorted(found)

    def _cleaned(self, raw: DayContents, day: date) -> pa.Table:
        """``clean_text`` of a day as the run would make it: review_id, plain, text, status."""
        columns = ["content_sha256", "fingerprint", "status", "plain", "text"]
        former = self.former[day]
        files = list(reusable(self.lake, self.there.cleaning.snapshot, {day, *former}, former))
        there = read_table(self.lake.storage, CLEAN_TEXT, files, columns)
        there = there.filter(pc.equal(there["fingerprint"], self.there.cleaning.fingerprint))
        known = {row["content_sha256"]: row for row in there.to_pylist()}
        missing = [(day, sha, row) for sha, row in raw.distinct() if sha not in known]
        for batch in extract(self.there.cleaning.extractor, None, contents_of({day: raw}, missing)):
            known |= {row["content_sha256"]: row for row in batch.to_pylist()}
        nothing = {"plain": None, "text": None}
        rows = [
            {**(known[sha] if status == "ok" else {**nothing, "status": status}), "review_id": review_id}
            for review_id, sha, status in zip(
                *(raw.keys[name].to_pylist() for name in raw.keys.column_names), strict=True
            )
        ]
        schema = pa.schema([CLEAN_TEXT.arrow.field(name) for name in ("review_id", "plain", "text", "status")])
        return pa.Table.from_pylist(rows, schema)

    def _asked(self, made: Made, contents: DayContents, missing: Set[str]) -> float | None:
        """What a paid API will ask, where that can be counted; answers that are journalled are paid."""
        if made.extractor.cost is None:
            return None
        unpaid = missing - Journal(self.lake.storage, made.card.name, made.fingerprint).keys()
        texts = (str(contents.read(row)) for sha, row in contents.distinct() if sha in unpaid)
        return made.extractor.cost(made.card, texts)

    def _cost(self, card: Card, rows: int) -> tuple[float | None, float | None]:
        if not rows:
            return 0.0, 0.0
        here = None if card.backend == "api" else 0.0  # what is computed on this machine asks for no money
        rate = self.rates.get(card.name)
        return (rows * rate.seconds, rows * rate.money or here) if rate else (None, here)


_IDENTITY: Mapping[str, Reason] = {"weights": "weights", "weights_settings": "weights", "version": "code"}


def _keys(rows: pa.Table, table: Table) -> list[tuple[object, ...]]:
    return list(zip(*(rows[key].to_pylist() for key in table.keys), strict=True))


def _pairs(rows: pa.Table, table: Table) -> set[tuple[object, ...]]:
    """Each key with its content."""
    return set(zip(_keys(rows, table), rows["content_sha256"].to_pylist(), strict=True))


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if any(part is None for part in known) else sum(part for part in known if part is not None)
