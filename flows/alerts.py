"""Alerts that runs send: about themselves, and about the days of the lake."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

from prefect import get_run_logger, runtime
from prefect.events import emit_event

from otzyv.flows.days import until
from otzyv.schemas.errors import OtzyvError
from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.alerts.alerts import Alerts, patiently
from otzyv.tasks.alerts.kinds import CRASHED, FAILED, HELD, LEFT_OUT, MISSING, NO_SUCCESS
from otzyv.tasks.alerts.settings import alert_settings
from otzyv.tasks.alerts.state import Observation, Trouble
from otzyv.tasks.alerts.webhook import ping
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.releases import waiting

DAILY = "daily"
"""The subject of alerts about daily runs. For other runs it is the name of their flow as well."""
LOOKED = "missing_looked"
"""The mark that holds the last day checked for reviews, as an ordinal."""
MOST_GAP = 366
"""The most days that are checked after a downtime."""
MOST_SAID = 500


def emit(event: str, lake: str, subject: str, told: Mapping[str, Any]) -> None:
    """Emit an event in Prefect, about a day or another subject."""
    about = "day" if event.startswith("otzyv.day.") else "alert"
    emit_event(
        event, resource={"prefect.resource.id": f"otzyv.{about}.{subject}", "otzyv.lake": lake}, payload=dict(told)
    )


@contextmanager
def reported(lake: str, flow: str = DAILY) -> Iterator[Alerts]:
    """Send an alert if the run fails. If it succeeds, close open alerts and send the ping of the settings.

    Errors in alerting never stop the run.
    """
    settings, log = alert_settings(), get_run_logger()
    alerts = Alerts.of(lake, settings, log.warning, emit)
    try:
        yield alerts
    except Exception as error:
        run = attempt(runtime.flow_run.id or uuid.uuid4().hex, runtime.flow_run.run_count)
        seen = Trouble(f"{runtime.flow_run.name or flow}: {said(error)}", run, getattr(error, "cause", ""))
        alerts.observe(Observation(FAILED, {flow: seen}, [flow]))
        raise
    well = [Observation(kind, {}, [flow]) for kind in (FAILED, CRASHED, NO_SUCCESS)]
    alerts.observe(*well, success=alerts.clock())
    if settings.ping:
        for why in patiently({"ping": partial(ping, settings.ping.get_secret_value())}).values():
            log.warning("ping: %s: whoever waits for it will tell that no run ended well", why)


def attempt(run: object, count: int) -> str:
    """Identifies one attempt at a run. Each attempt that fails has its own alert."""
    return f"{run}/{count}"


def said(error: Exception) -> str:
    """Why a run failed. For errors that are not ours only the class is given, as their text may quote a review."""
    brief = getattr(error, "brief", None)
    told = brief or (str(error) if isinstance(error, OtzyvError) else type(error).__name__)
    return told if len(told) <= MOST_SAID else f"{told[:MOST_SAID]} …"


def tell_missing(alerts: Alerts, lake: Lake, last: date, why: Callable[[date], str]) -> None:
    """Alert about days without reviews: the last day, and all days since the last check."""
    state = alerts.book.state  # before the lake: what another process sees of it later is none of this one's
    there = {*lake.snapshot(REVIEWS).days}
    before = state.marks.get(LOOKED, 0)
    looked_at = [day for day in until(last, MOST_GAP) if day == last or (before and day.toordinal() > before)]
    found = {subject: Trouble(each.what) for subject, each in state.open.get(MISSING.name, {}).items()}
    found |= {str(day): Trouble(why(day)) for day in looked_at}
    missing = {day: seen for day, seen in found.items() if date.fromisoformat(day) not in there}
    alerts.observe(Observation(MISSING, missing, [*found]), **{LOOKED: last.toordinal()})


def tell_left_out(alerts: Alerts, days: Sequence[date], last: date) -> None:
    """Alert about days up to ``last`` that were never released and that no daily run will make."""
    why = Trouble("its reviews were there before the first daily run, and no release was made of them")
    found = {str(day): why for day in days}
    known = {day for day in alerts.book.state.open.get(LEFT_OUT.name, {}) if date.fromisoformat(day) <= last}
    alerts.observe(Observation(LEFT_OUT, found, known | found.keys()))


def held(lake: Lake) -> dict[str, Trouble]:
    """Days whose newest release is held for a person to review."""
    return {str(day): Trouble(reason) for day, reason in waiting(lake.history()).items()}


def tell_held(alerts: Alerts, lake: Lake) -> None:
    known = alerts.book.state.open.get(HELD.name, {})  # before the lake, as above
    found = held(lake)
    alerts.observe(Observation(HELD, found, {*known, *found}))
