"""Backfill: show what making days would cost, then make exactly those days, in child runs of about ten minutes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import count, groupby
from typing import Any, Literal, Self

from prefect import State, flow, runtime, tags
from prefect.states import Cancelled
from pydantic import BaseModel, Field, NonNegativeFloat, model_validator
from pydantic.json_schema import SkipJsonSchema

from otzyv.flows.allowed import check_lake
from otzyv.flows.children import CALLED_OFF, Ended, called_off, run_child
from otzyv.flows.days import within
from otzyv.flows.features import DaysFailed, features
from otzyv.flows.run_names import asked, named, ordered
from otzyv.flows.server.prefect_server import without_heartbeats
from otzyv.flows.settings import load
from otzyv.schemas.errors import WorkFailed
from otzyv.tasks.backfill_artifacts import show_outcomes, show_plan, show_progress
from otzyv.tasks.extractors import names
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.model_cache import keep_models
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.releases import waiting
from otzyv.tasks.outcomes import Outcome, outcomes
from otzyv.tasks.plan import DayPlan, NoSuchDays, Plan, plan
from otzyv.tasks.quality_page import quality_page_of_days

ExtractorName = StrEnum("ExtractorName", {name: name for name in names()})  # type: ignore[misc]
CHUNK_SECONDS = 600.0
UNKNOWN_SECONDS = 120.0
"""What a day counts for whose cost no earlier run tells, until this backfill has made some."""
STRIKES = 3
"""How many child runs in a row may end without having made a day."""
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
            raise ValueError("From and To go together; for one day give it twice")
        if self.days and self.from_day:
            raise ValueError("give either From and To, or single days")
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


@flow(name="backfill", flow_run_name=named("backfill", also=asked))
def backfill(lake: str, request: Backfill) -> BackfillReport:
    """Make past days again, at the cost of what changed.

    1. The **plan** says for each day and table what is new, changed, reused and gone, why, and what it costs. It is
       shown as an artifact; a *dry run* ends here. Days that the lake has not are named; without any other it fails.
    2. Exactly those days are made, in **child runs** of about ten minutes, each day published as it is done. A day
       that fails does not stop the others.
    3. The **result** is shown as an artifact. Started again, the same backfill does only what is left.

    To cancel is safe at any time: no further day is begun, and every day is whole.
    """
    check_lake(lake)
    extractors = [*map(str, request.extractors), *request.others] or list(names(load().profile))
    planned = _planned(lake, request, extractors, request.asked(Lake(lake)))
    planned.check_days()
    show_plan(planned)
    if request.dry_run or not planned.work:
        held = {day.day: day.held for day in planned.days if day.held}
        return BackfillReport(planned, held=held, dry_run=request.dry_run)

    turned_away = 0
    started, left, strikes, pace = datetime.now(UTC), planned.work, 0, UNKNOWN_SECONDS
    made: tuple[Outcome, ...] = ()
    unknown, unpriced = 0.0, 0
    with spending(_decimal(request.budget)), keep_models():  # shared by all children that run right here
        for number in count():
            show_progress(1 - len(left) / len(planned.work))
            spent = sum(outcome.money for outcome in made) + unknown
            chunk = list(_chunk(_within(request.budget, spent, left, unpriced < STRIKES), pace))
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
                lake=lake,
                orders=orders,
                again=request.what == "again",
                days_at_once=request.days_at_once,
                budget=request.budget,
                spent=spent,
            )
            made = outcomes(lake, None, None, started)
            before, left = len(left), _left(lake, request, extractors, left, made)
            if ended is Ended.BADLY:  # nobody knows what it paid for the days that it did not end: all that was planned
                still = {day.day for day in left}
                prices = (day.money if day.money is not None else request.budget for day in chunk if day.day in still)
                unknown += sum(price or 0.0 for price in prices)
            if ended is Ended.CALLED_OFF:  # which is no fault of the days
                turned_away += 1
                time.sleep(PAUSE)
            else:
                turned_away, strikes = 0, strikes + 1 if len(left) == before else 0
            if len(left) < before:
                pace = (time.monotonic() - clock) / (before - len(left))

    over = {day.day for day in left}
    begun = {day.day for day in planned.work} - over
    because = ""
    if over and request.budget is not None:
        because = f"what they ask for would pass the budget of {request.budget:g}"
    if strikes == STRIKES:
        because = f"{STRIKES} runs in a row ended without having made one"
    if turned_away == PATIENCE:
        because = f"daily runs wait for their place, and {PATIENCE} times in a row went first without being made"
    held = waiting(Lake(lake).history([day.day for day in planned.days]))
    report = BackfillReport(planned, outcomes(lake, planned, begun, started), tuple(sorted(over)), because, held)
    show_outcomes(report.outcomes, report.held)
    if any(outcome.state == "published" for outcome in report.outcomes):
        quality_page_of_days(lake, min(begun), max(begun))
    if report.failed or report.left:
        raise BackfillIncomplete(report)
    return report


@flow(name="backfill days", flow_run_name=named("backfill days", also=ordered))
def backfill_days(
    lake: str,
    orders: list[DayOrder],
    again: bool = False,
    days_at_once: int = 1,
    budget: float | None = None,
    spent: float = 0.0,
    parent: str | None = None,
    attempt: int = 1,
) -> State | None:
    """Internal: part of a backfill, which starts it. To make days, run the deployment *backfill*.

    Makes days span by span, or several spans side by side; ``spent``: what the backfill has paid of its budget.

    Between spans it looks whether it is to end early: when the backfill (``parent``) was cancelled or is at another
    ``attempt``, or a daily run waits for its place. What is left, the backfill gives to another child. One that has not
    begun anything ends as cancelled.
    """

    check_lake(lake)
    called, made = list[str](), list[date]()

    def make(span: Sequence[DayOrder]) -> None:
        if why := called_off(parent, attempt):
            called.append(why)
            return
        made.extend(order.day for order in span)
        with suppress(DaysFailed):  # the lake's runs tell how; the other days go on
            features(lake, [order.day for order in span], span[0].extractors, again=again)

    paid = spending(_decimal(budget), Decimal(str(spent)))
    ours = tags(*runtime.flow_run.tags)  # for the runs within this one
    with without_heartbeats(), paid, keep_models(), ours, ThreadPoolExecutor(days_at_once) as pool:
        begun = [pool.submit(copy_context().run, make, span) for span in _spans(orders, days_at_once)]
        for span in begun:
            span.result()
    return Cancelled(name=CALLED_OFF, message=called[0]) if called and not made else None


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


def _left(
    lake: str, request: Backfill, extractors: Sequence[str], days: Sequence[DayPlan], made: Sequence[Outcome]
) -> tuple[DayPlan, ...]:
    """Days of which some table was not attempted (a daily run may make others), and that still have work to do.

    They are planned again, with what the days made meanwhile tell of their cost.
    """
    attempted = {(outcome.table, outcome.day) for outcome in made}
    open_days = [day for day in days if any((table.table, day.day) not in attempted for table in day.tables)]
    if not open_days:
        return ()
    return _planned(lake, request, extractors, [day.day for day in open_days]).work


def _planned(lake: str, request: Backfill, extractors: Sequence[str], days: Sequence[date] | None) -> Plan:
    newest_first, seconds = request.order == "newest first", load().span_seconds
    return plan(lake, extractors, days, what=request.what, newest_first=newest_first, span_seconds=seconds)
