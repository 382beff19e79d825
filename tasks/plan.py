"""Task: what making days would cost: the rows to compute and why, seconds and money. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from schemas.table import Table
from schemas.tables import CLEAN_TEXT, REVIEWS, RUNS
from tasks.extractors import Card
from tasks.extractors.loop import extract
from tasks.extractors.store import cure, present
from tasks.features import contents_of, former_days, inputs, reusable
from tasks.lake import Lake
from tasks.lake.contents import DayContents, day_contents, run_key, source, text_contents
from tasks.lake.journal import Journal
from tasks.lake.models import identity
from tasks.lake.releases import released_files, waiting
from tasks.lake.reuse import Shelf
from tasks.lake.snapshot import DataFile, read_table
from tasks.pipeline.inventory import Inventory, Made, Standing
from tasks.rates import FIGURES, rates

What = Literal["stale", "failed", "again"]
"""What is made: what is stale, what failed at its last attempt, or all again."""
Reason = Literal["new day", "content", "weights", "code", "settings", "tried again", "asked for"]
MOST_SPANS = 20
"""How many stretches of days are named at most."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table of one day. Rows are ``new`` or ``changed`` (both computed) or ``reused``; ``gone`` ones go.

    ``contents``: how many distinct contents are computed. ``seconds`` and ``money`` come from the lake's earlier runs
    of the table, None where it has none; what a paid API will ask is counted where its tokens can be. ``run_key`` names
    the publication that would stand afterwards.
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

    ``held``: why its newest release waits for a person, None if it does not.
    """

    day: date
    tables: tuple[TablePlan, ...]
    released: bool
    held: str | None

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


class NoSuchDays(LookupError):
    """The lake has none of the days that were asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked, and what it takes, day by day in the order the days would run.

    ``asked``: the days that were asked for, none where it was all; ``known``: those that the lake has.
    ``missing_weights``: extractors that have something to compute and whose weights are not here, with what mends it.
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
        weights = [f"{name}: its weights are not here. {cure}" for name, cure in self.missing_weights]
        return (*([self._days_note] if self.missing or not self.known else []), *weights)

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
) -> Plan:
    """Plan days, all of the lake's without any. Those that it has not are ``missing`` in the plan."""
    lake = Lake(lake_uri)
    planner = _Planner(Inventory(lake, extractors))
    known = planner.there.days
    chosen = {*known} if days is None else {*known} & {*days}
    if what == "failed":
        chosen &= {day for _, day in planner.failed}
    ordered = sorted(chosen, reverse=newest_first)
    plans = tuple(planner.plan(ordered, what))
    computing = {table.table for day in plans for table in day.tables if table.contents}
    missing = tuple(planner.missing_weights(computing))
    return Plan(lake.uri, what, tuple(extractors), plans, tuple(days or ()), tuple(known), missing)


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
        runs = self.lake.read(RUNS, columns=["table", *FIGURES, "day", "state", "started_at"])
        self.rates = rates(runs)
        self.failed = _failed(runs)

    def missing_weights(self, computing: Set[str]) -> Iterator[tuple[str, str]]:
        """Of these tables' extractors, those whose weights are not here, and what mends that; no file is read."""
        for made in self.there.extractors:
            name, weights = made.card.name, made.weights
            if name in computing and weights and not made.card.fitted and not present(name, weights):
                yield name, cure(name, weights, [file.name for file in weights.files])

    def plan(self, days: Sequence[date], what: What) -> Iterator[DayPlan]:
        """The days, as they would be made one after the other."""
        done = {day: self.there.unchanged(day) for day in days if what != "again"}
        self.former = {
            day: former_days(self.lake, day, self.there.sources[REVIEWS.name]) for day in days if not done.get(day)
        }
        return (self._unchanged(day, stands) if (stands := done.get(day)) else self._day(day, what) for day in days)

    def _unchanged(self, day: date, stands: Sequence[Standing]) -> DayPlan:
        """A day in which a run would find nothing to do."""
        tables = [TablePlan(each.table, day, 0, 0, each.rows, 0, 0, (), 0.0, 0.0, each.run_key) for each in stands]
        return DayPlan(day, tuple(tables), True, self.waiting.get(day))

    def _day(self, day: date, what: What) -> DayPlan:
        raw = self._contents("raw", day)
        cleaning = self._table(self.there.cleaning, raw, day, again=what == "again")
        self._note(cleaning, raw)
        read: dict[str, DayContents] = {}
        if cleaning.why:
            cleaned = self._cleaned(raw, day)
            read = {column: text_contents(cleaned, column) for column in ("plain", "text")}
        tables = [cleaning]
        failed = self._failed(day)
        for made in self.there.extractors:
            contents = self._read(made, day, read, tables)
            table = self._table(made, contents, day, again=what == "again")
            if what == "failed" and table.why and table.table not in failed:
                continue
            tables.append(table)
            self._note(table, contents)
        return DayPlan(day, tuple(tables), self.there.released(day), self.waiting.get(day))

    def _failed(self, day: date) -> set[str]:
        """Tables whose last attempt failed, and those that they read."""
        failed = {table for table, place in self.failed if place == day}
        for made in reversed(self.there.extractors):
            if made.card.name in failed and made.card.reads is not None:
                failed.add(made.card.reads.name)
        return failed

    def _note(self, planned: TablePlan, contents: DayContents) -> None:
        if planned.why and any(planned.day in former for former in self.former.values()):
            self.remade[planned.table, planned.day] = {sha for sha, _ in contents.distinct()}

    def _read(self, made: Made, day: date, read: dict[str, DayContents], planned: Sequence[TablePlan]) -> DayContents:
        """What a table will be made of, once those planned before it are made; ``read``: what was read so far."""
        card = made.card
        if card.reads is None:
            if card.modality not in read:
                read[card.modality] = self._contents(card.modality, day)
            read[card.name] = read[card.modality]
        elif any(table.table == card.reads.name and table.why for table in planned):
            read[card.name] = read[card.reads.name]  # a vector is named by the content it was made of
        else:
            read[card.name] = inputs(self.lake, card, day)
        return read[card.name]

    def _contents(self, reads: Any, day: date) -> DayContents:
        return day_contents(self.lake.storage, reads, day, self.there.sources[source(reads).name])

    def _table(self, made: Made, contents: DayContents, day: date, *, again: bool) -> TablePlan:
        name, before, rows = made.card.name, made.snapshot.of(day), contents.keys.num_rows
        key = run_key(name, day, contents.digest, made.fingerprint)
        if (made.snapshot.holds(day, key) and not again) or (not rows and not before):
            return TablePlan(name, day, 0, 0, rows, 0, 0, (), 0.0, 0.0, key)
        missing = {sha for sha, _ in contents.distinct()}
        if not again:
            missing -= self._found(made, missing, day)
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
        new = sum(key not in known for key in computed)
        seconds, money = self._cost(made.card, len(computed))
        asked = self._asked(made, contents, missing)
        return TablePlan(
            name,
            day,
            new,
            len(computed) - new,
            rows - len(computed),
            len(known - set(_keys(contents.keys, made.card.table))),
            len(missing),
            self._why(made, before, there, contents, again=again),
            seconds,
            money if asked is None else asked,
            key,
        )

    def _found(self, made: Made, wanted: Set[str], day: date) -> set[str]:
        """Which contents need not be computed, once the days planned before this one are made."""
        remade = [place for place in self.former[day] if (made.card.name, place) in self.remade]
        as_is = [place for place in self.former[day] if place not in remade]
        shelf = Shelf(self.lake.storage, made.card.table, day, made.fingerprint)
        shelf.take_over(reusable(self.lake, made.snapshot, day, as_is))
        for place in remade:
            shelf.take_over(released_files(self.lake.storage, made.card.table, place))
        coming = set[str]().union(*(self.remade[made.card.name, place] for place in remade))
        return {sha for sha in wanted if sha in shelf or sha in coming}

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
        files = list(reusable(self.lake, self.there.cleaning.snapshot, day, self.former[day]))
        there = read_table(self.lake.storage, CLEAN_TEXT, files, columns)
        there = there.filter(pc.equal(there["fingerprint"], self.there.cleaning.fingerprint))
        known = {row["content_sha256"]: row for row in there.to_pylist()}
        missing = [(sha, row) for sha, row in raw.distinct() if sha not in known]
        for batch in extract(self.there.cleaning.extractor, None, contents_of(raw, missing)):
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


def spans(days: Sequence[date]) -> str:
    """Days in their order, those that follow one another as one."""
    runs: list[list[date]] = []
    for day in days:
        if not runs or day - runs[-1][-1] > timedelta(days=1):
            runs.append([])
        runs[-1].append(day)
    named = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = f" and {len(named) - MOST_SPANS} more" if len(named) > MOST_SPANS else ""
    return ", ".join(named[:MOST_SPANS]) + more


def _keys(rows: pa.Table, table: Table) -> list[tuple[object, ...]]:
    return list(zip(*(rows[key].to_pylist() for key in table.keys), strict=True))


def _pairs(rows: pa.Table, table: Table) -> set[tuple[object, ...]]:
    """Each key with its content."""
    return set(zip(_keys(rows, table), rows["content_sha256"].to_pylist(), strict=True))


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if any(part is None for part in known) else sum(part for part in known if part is not None)


def _failed(runs: pa.Table) -> set[tuple[str, date]]:
    """Tables and days whose last attempt failed."""
    last = {(run["table"], run["day"]): run["state"] for run in sorted(runs.to_pylist(), key=lambda r: r["started_at"])}
    return {place for place, state in last.items() if state == "failed"}
