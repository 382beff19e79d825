"""Backfill: show what making days would cost, then make exactly those days, in child runs of about ten minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from itertools import count, groupby
from typing import Any, Literal, Self

from prefect import State, get_run_logger, runtime, tags
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun, Pause
from prefect.states import Cancelled, Failed
from pydantic import BaseModel, Field, NonNegativeFloat, model_validator
from pydantic.json_schema import SkipJsonSchema

from otzyv.flows.alerts import said
from otzyv.flows.allowed import check_lake
from otzyv.flows.checked import checked_flow
from otzyv.flows.children import CALLED_OFF, TABLES_FAILED, Ended, called_off, run_child
from otzyv.flows.days import within
from otzyv.flows.features import DaysFailed, features
from otzyv.flows.run_names import asked, named, ordered
from otzyv.flows.server.asked_days import ONE_OF_THEM, TOGETHER
from otzyv.flows.server.backfills import PAGES
from otzyv.flows.server.prefect_server import without_heartbeats
from otzyv.flows.settings import load
from otzyv.schemas.errors import ModelError, WorkFailed
from otzyv.tasks.backfill_artifacts import result, show_plan
from otzyv.tasks.backfill_grid import Shown, grid
from otzyv.tasks.extractors import names
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.model_cache import keep_models
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.releases import waiting
from otzyv.tasks.outcomes import Outcome, outcomes, without
from otzyv.tasks.plan import DayPlan, NoSuchDays, Plan, plan
from otzyv.tasks.quality_page import quality_page_of_days

ExtractorName = StrEnum("ExtractorName", {name: name for name in names()})  # type: ignore[misc]
CHUNK_SECONDS = 600.0
UNKNOWN_SECONDS = 120.0
"""What a day counts for whose cost no earlier run tells, until this backfill has made some."""
STRIKES = 3
"""How many child runs in a row may end without having made a day."""
MOST_TOLD = 5
"""How many tables the state of a child names that failed."""
GRID_SECONDS = 10.0
"""How often it is shown how far the days of a child are."""
PAUSE, PATIENCE = 10.0, 60
"""Seconds until the next child is started where one was called off before it began, and how often in a row that is."""


def _blank(schema: dict[str, Any]) -> None:
    """Prefect's form then shows an empty field, not a choice of types, and its server takes none for an answer."""
    schema.pop("default")


class Backfill(BaseModel):
    """Which days to make, and how."""

    from_day: date | SkipJsonSchema[None] = Field(
        None, title="From", description="First day. Goes with To.", json_schema_extra=_blank
    )
    to_day: date | SkipJsonSchema[None] = Field(
        None, title="To", description="Last day, itself included.", json_schema_extra=_blank
    )
    days: list[date] = Field(
        [], title="Or single days", description="Instead of From and To. Without any, all days of the lake."
    )
    extractors: list[ExtractorName] = Field(
        [], title="Extractors", description="Tables to make; the text is always cleaned first. None: the profile's."
    )
    others: list[str] = Field(
        [], title="Other extractors", description="Names made of those: image_resnet50@layer2, pca_text_navec."
    )
    what: Literal["stale", "failed", "again"] = Field(
        "stale",
        title="What",
        description="stale: what changed. failed: tables whose last attempt failed. again: all, computed again.",
    )
    dry_run: bool = Field(False, title="Dry run", description="Show the plan and end.")
    days_at_once: int = Field(1, ge=1, le=16, title="Days at once", description="How many days are made side by side.")
    budget: NonNegativeFloat | SkipJsonSchema[None] = Field(
        None,
        title="Budget",
        description="Money for paid APIs: days that would pass it are not begun.",
        json_schema_extra=_blank,
    )
    order: Literal["newest first", "oldest first"] = Field("newest first", title="Order")

    @model_validator(mode="after")
    def _days_fit(self) -> Self:
        if (self.from_day is None) != (self.to_day is None):
            raise ValueError(TOGETHER)
        if self.days and self.from_day:
            raise ValueError(ONE_OF_THEM)
        if self.from_day and self.to_day:
            within(self.from_day, self.to_day, tuple)
        return self

    def asked(self, lake: Lake) -> list[date] | None:
        """The days that are asked for; None: all of the lake's. Raises NoSuchDays where a long range has none."""
        if not self.from_day or not self.to_day:
            return self.days or None
        if not (days := within(self.from_day, self.to_day, lambda: lake.days)):
            raise NoSuchDays(f"{lake.uri} has no day from {self.from_day} to {self.to_day}")
        return days


class DayOrder(BaseModel):
    """One day of a plan: the tables to make, beside ``clean_text``. Days of one ``span`` are made in one pass."""

    day: date
    extractors: list[str]
    span: int | None = None


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """The plan, and how each of its tables ended; ``left``: days of the plan that were not begun, and why.

    ``held``: days of the plan that wait for a person, whichever run held them, and why.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    left: tuple[date, ...] = ()
    left_because: str = ""
    held: Mapping[date, str] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def failed(self) -> tuple[str, ...]:
        """What failed, as ``table day: error``."""
        return tuple(f"{o.table} {o.day}: {o.error}" for o in self.outcomes if o.state == "failed")


class BackfillIncomplete(WorkFailed):
    """Some days failed or were not begun. The same backfill, started again, makes just those."""

    def __init__(self, report: BackfillReport) -> None:
        self.report = report
        said = [f"{len(report.failed)} tables failed: {'; '.join(report.failed[:5])}"] if report.failed else []
        if report.left:
            said.append(
                f"{len(report.left)} days were not begun, as {report.left_because}: "
                f"{', '.join(map(str, report.left[:5]))}"
            )
        super().__init__(" and ".join(said))


class WeightsNotHere(ModelError):
    """A backfill would begin days whose tables it can't all make."""


@checked_flow(name="backfill", flow_run_name=named("backfill", also=asked))
def backfill(lake: str, request: Backfill) -> BackfillReport:
    """Make past days again, at the cost of what changed.

    1. The **plan** says for each day and table what is new, changed, reused and gone, why, and what it costs. It is
       shown as an artifact; a *dry run* ends here. Days that the lake has not are named; without any other it fails.
       It fails as well where weights that are needed are not here, unless the setting `partial` lets days be released
       without some of their tables.
    2. Exactly those days are made, in **child runs** of about ten minutes, each day published as it is done. A day
       that fails does not stop the others.
    3. The **result** is shown as an artifact. Started again, the same backfill does only what is left.

    To cancel or to pause is safe at any time: no further day is begun, and every day is whole. The result then tells
    what was done; Retry, or Resume, does what is left.
    """
    check_lake(lake)
    extractors = [*map(str, request.extractors), *request.others] or list(names(load().profile))
    planned = _planned(lake, request, extractors, request.asked(Lake(lake)))
    planned.check_days()
    since = _begun_at()
    places = frozenset((table.table, day.day) for day in planned.days for table in day.tables)
    earlier = _of(places, outcomes(lake, None, None, since))  # none, but of a run that was paused or tried again
    if request.what == "again":
        planned = without(planned, earlier)
    show_plan(planned)
    if request.dry_run or not planned.work:
        held = {day.day: day.held for day in planned.days if day.held}
        report = BackfillReport(planned, earlier, held=held, dry_run=request.dry_run)
        if earlier:  # a former attempt has made all that was left
            _Work(lake, request, extractors, planned, since, places, earlier, (), earlier).tell(report)
        return report
    if planned.missing_weights and not load().partial:
        raise WeightsNotHere("; ".join(planned.weights_notes))

    work = _Work(lake, request, extractors, planned, since, places, earlier, planned.work)
    try:
        work.make()
    except BaseException as stopped:  # cancelled or paused: what was done is told first
        work.tell_stopped(stopped)
        raise
    report = work.report()
    work.tell(report)
    if any(outcome.state == "published" for outcome in report.outcomes):
        made = {outcome.day for outcome in report.outcomes}
        quality_page_of_days(lake, min(made), max(made))
    if report.failed or report.left:
        raise BackfillIncomplete(report)
    return report


Places = Collection[tuple[str, date]]
"""Tables on days."""


@dataclass
class _Work:
    """A plan at work. ``places``: all that was asked for; ``earlier``: how a former attempt at this run, before it was
    paused or stopped, has made some of it.

    ``left``: the days that are not made yet; ``made``: how tables ended so far.
    """

    lake: str
    request: Backfill
    extractors: Sequence[str]
    planned: Plan
    since: datetime
    places: Places
    earlier: tuple[Outcome, ...]
    left: tuple[DayPlan, ...]
    made: tuple[Outcome, ...] = ()
    because: str = ""
    shown: Shown = field(default_factory=lambda: Shown(page=PAGES in os.environ))
    looked: float = 0.0

    def make(self) -> None:
        """Make the days in child runs, until none is left or something stands against it."""
        request, lake = self.request, self.lake
        strikes, turned_away, pace = 0, 0, UNKNOWN_SECONDS
        unknown, unpriced = 0.0, 0
        self.made = self.earlier
        with spending(_decimal(request.budget)), keep_models():  # shared by all children that run right here
            for number in count():
                self.show(self.left, self.made)
                spent = sum(outcome.money for outcome in self.made) + unknown
                chunk = list(_chunk(_within(request.budget, spent, self.left, unpriced < STRIKES), pace))
                if not chunk or strikes == STRIKES or turned_away == PATIENCE:
                    break
                orders = [
                    DayOrder(day=day.day, extractors=[table.table for table in day.tables[1:]], span=day.span)
                    for day in chunk
                ]
                unpriced += request.budget is not None and chunk[0].money is None
                clock = time.monotonic()
                ended = run_child(
                    backfill_days,
                    str(number),
                    looked=partial(self.look, orders),
                    stopped=self.tell_stopped,
                    lake=lake,
                    orders=orders,
                    again=request.what == "again",
                    days_at_once=request.days_at_once,
                    budget=request.budget,
                    spent=spent,
                )
                self.made = outcomes(lake, None, None, self.since)
                before, self.left = len(self.left), _left(lake, request, self.extractors, self.left, self.made)
                if ended is Ended.BADLY:  # nobody knows what it paid for the days that it did not end: all of the plan
                    still = {day.day for day in self.left}
                    prices = (
                        day.money if day.money is not None else request.budget for day in chunk if day.day in still
                    )
                    unknown += sum(price or 0.0 for price in prices)
                if len(self.left) < before:
                    turned_away, strikes = 0, 0
                    pace = (time.monotonic() - clock) / (before - len(self.left))
                elif ended is Ended.CALLED_OFF:  # which is no fault of the days
                    turned_away += 1
                    time.sleep(PAUSE)
                else:
                    turned_away, strikes = 0, strikes + 1
        if self.left and request.budget is not None:
            self.because = f"what they ask for would pass the budget of {request.budget:g}"
        if strikes == STRIKES:
            self.because = f"{STRIKES} runs in a row ended without having made one"
        if turned_away == PATIENCE:
            self.because = (
                f"daily runs wait for their place, and {PATIENCE} times in a row went first without being made"
            )

    def share(self, left: Iterable[DayPlan], made: Iterable[Outcome]) -> float:
        """Of the days that this run is to make, those that are made whole."""
        failed = {outcome.day for outcome in made if outcome.state == "failed"}
        planned = {day.day for day in self.planned.work}
        whole = planned - {day.day for day in left} - failed
        before = {outcome.day for outcome in self.earlier} - planned
        return (len(whole) + len(before - failed)) / (len(planned) + len(before))

    def look(self, orders: Sequence[DayOrder], child: FlowRun) -> None:
        """Show how far the child with these orders is, every few seconds."""
        if time.monotonic() - self.looked < GRID_SECONDS:
            return
        self.looked = time.monotonic()
        with _only_shown():
            made = outcomes.fn(self.lake, None, None, self.since)
            left = _unattempted(self.left, made)
            over = {day.day for day in left}
            spans = [
                days for span in _spans(orders, self.request.days_at_once) if (days := {o.day for o in span}) & over
            ]
            at_work = spans[: self.request.days_at_once] if child.state and child.state.is_running() else []
            self.show(left, made, set[date]().union(*at_work))

    def show(
        self,
        left: Collection[DayPlan],
        made: Collection[Outcome],
        running: Collection[date] = (),
        *,
        going: bool = True,
    ) -> None:
        with _only_shown():
            held = waiting(Lake(self.lake).history([day.day for day in self.planned.days]))
            over = {day.day for day in left}
            self.shown.progress(self.share(left, made))
            told = _of(self.places, made)
            self.shown.grid(grid(self.planned, told, over, running, held, because=self.because, going=going))

    def report(self) -> BackfillReport:
        over = {day.day for day in self.left}
        begun = {day.day for day in self.planned.work} - over
        ended = outcomes.fn(self.lake, self.planned, begun, self.since)
        places = {(outcome.table, outcome.day) for outcome in ended}
        before = [outcome for outcome in self.earlier if (outcome.table, outcome.day) not in places]
        held = waiting(Lake(self.lake).history([day.day for day in self.planned.days]))
        return BackfillReport(self.planned, (*before, *ended), tuple(sorted(over)), self.because, held)

    def tell(self, report: BackfillReport) -> None:
        """As plain functions: of a run that is paused or stopped no task may begin."""
        self.shown.result(result(report.outcomes, report.held, report.left, report.left_because))
        self.show(self.left, self.made, going=False)

    def tell_stopped(self, stopped: BaseException) -> None:
        """Nothing is planned again, which may take longer than there is."""
        why = ended_by(stopped)
        with suppress(Exception):  # it is stopped anyhow, and for its own reason
            self.made = outcomes.fn(self.lake, None, None, self.since)
            self.left, self.because = _unattempted(self.left, self.made), why
            self.tell(self.report())


def ended_by(stopped: BaseException) -> str:
    """What has ended a run before its days were made. Signals and cancellations are no errors."""
    if isinstance(stopped, Pause):
        return "it was paused"
    if isinstance(stopped, Exception) and not isinstance(stopped, CancelledRun):
        return f"it ended with an error: {said(stopped)}"
    return "it was stopped"


@contextmanager
def _only_shown() -> Iterator[None]:
    """What is wrong with showing how far the days are stops none of them."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("how far the days are can't be shown now: %s", type(error).__name__)


def _begun_at() -> datetime:
    """When this run was begun for the first time: a run that was paused, or is tried again, goes on with its work."""
    context = FlowRunContext.get()
    known = context.flow_run.start_time if context and context.flow_run else None
    return known or datetime.now(UTC)


def _of(places: Places, made: Iterable[Outcome]) -> tuple[Outcome, ...]:
    return tuple(outcome for outcome in made if (outcome.table, outcome.day) in places)


@checked_flow(name="backfill days", flow_run_name=named("backfill days", also=ordered))
def backfill_days(
    lake: str,
    orders: list[DayOrder],
    again: bool = False,
    days_at_once: int = 1,
    budget: float | None = None,
    spent: float = 0.0,
    parent: str | None = None,
    attempt: str | None = None,
) -> State | None:
    """Internal: part of a backfill, which starts it. To make days, run the deployment *backfill*.

    Makes days span by span, or several spans side by side; ``spent``: what the backfill has paid of its budget.

    Between spans it looks whether it is to end early: when the backfill (``parent``) was cancelled, paused or is at
    another ``attempt``, or a daily run waits for its place. Then it ends as cancelled, and what is left the backfill
    gives to another child. One in which tables failed ends as failed.
    """

    check_lake(lake)
    called, made, failed = list[str](), list[date](), list[str]()

    def make(span: Sequence[DayOrder]) -> None:
        if why := called_off(parent, attempt):
            called.append(why)
            return
        try:
            features(lake, [order.day for order in span], span[0].extractors, again=again)
        except DaysFailed as failure:  # the lake's runs tell how; the other days go on
            runs = [run for report in failure.reports for run in report.tables if run.state == "failed"]
            failed.extend(f"{run.table} {run.day}: {run.error}" for run in runs)
        made.extend(order.day for order in span)

    paid = spending(_decimal(budget), Decimal(str(spent)))
    ours = tags(*runtime.flow_run.tags)  # for the runs within this one
    with without_heartbeats(), paid, keep_models(), ours, ThreadPoolExecutor(days_at_once) as pool:
        begun = [pool.submit(copy_context().run, make, span) for span in _spans(orders, days_at_once)]
        try:
            for span in begun:
                span.result()
        except BaseException:  # cancelled: spans that are under way are ended, and no other is begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if called:
        done = f"; {len(made)} of {len(orders)} days were made" if made else ""
        return Cancelled(name=CALLED_OFF, message=called[0] + done)
    if failed:
        told = f"{'; '.join(failed[:MOST_TOLD])}{f' and {len(failed) - MOST_TOLD} more' * (len(failed) > MOST_TOLD)}"
        return Failed(name=TABLES_FAILED, message=f"{len(failed)} tables failed: {told}")
    return None


def _spans(orders: Sequence[DayOrder], at_once: int) -> Iterator[list[DayOrder]]:
    """The orders that are made together: those of one span, in as many parts as are to be made side by side."""
    numbered = enumerate(orders)  # an order without a span is one of its own
    for _, group in groupby(
        numbered, key=lambda each: (each[1].span, each[1].extractors, each[1].span is None and each[0])
    ):
        span = [order for _, order in group]
        most = -(-len(span) // at_once)
        yield from (span[start : start + most] for start in range(0, len(span), most))


def _decimal(budget: float | None) -> Decimal | None:
    return None if budget is None else Decimal(str(budget))


def _within(budget: float | None, spent: float, days: Sequence[DayPlan], unpriced: bool) -> Iterator[DayPlan]:
    """The days that what is left of the budget suffices for.

    Where that is none of those whose price is known, one whose price is not, if such may be begun (``unpriced``): then
    it tells what the others ask for.
    What a day costs more than was planned is never paid beyond the budget: such rows are left ``over_budget``.
    """
    if budget is None:
        yield from days
        return
    first = next((day for day in days if day.money is None), None) if unpriced and spent < budget else None
    for day in days:
        if day.money is not None and spent + day.money <= budget:
            spent, first = spent + day.money, None
            yield day
    if first:
        yield first


def _chunk(days: Iterable[DayPlan], unknown: float) -> Iterator[DayPlan]:
    """The next spans, of about ten minutes of work together; ``unknown``: seconds of a day whose cost no run tells."""
    seconds, span = 0.0, None
    for day in days:
        if seconds >= CHUNK_SECONDS and (day.span is None or day.span != span):
            return
        seconds, span = seconds + (day.seconds if day.seconds is not None else unknown), day.span
        yield day


def _unattempted(days: Iterable[DayPlan], made: Sequence[Outcome]) -> tuple[DayPlan, ...]:
    """Days of which some table was not attempted (a daily run may make others)."""
    attempted = {(outcome.table, outcome.day) for outcome in made}
    return tuple(day for day in days if any((table.table, day.day) not in attempted for table in day.tables))


def _left(
    lake: str, request: Backfill, extractors: Sequence[str], days: Sequence[DayPlan], made: Sequence[Outcome]
) -> tuple[DayPlan, ...]:
    """Days that were not attempted, and that still have work to do.

    They are planned again, with what the days made meanwhile tell of their cost.
    """
    open_days = _unattempted(days, made)
    if not open_days:
        return ()
    return _planned(lake, request, extractors, [day.day for day in open_days]).work


def _planned(lake: str, request: Backfill, extractors: Sequence[str], days: Sequence[date] | None) -> Plan:
    newest_first, seconds = request.order == "newest first", load().span_seconds
    return plan(lake, extractors, days, what=request.what, newest_first=newest_first, span_seconds=seconds)
