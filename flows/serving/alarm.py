"""Alerts that ``otzyv serve`` sends: about late and crashed runs, days that wait, full disks and a lost server.

A run tells of itself what it can (``flows/alerts.py``). Where both see the same, the lake's book lets one of them tell.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import get_current_settings

from otzyv.flows import alerts as runs
from otzyv.flows.server import figures
from otzyv.flows.server.figures import Figures
from otzyv.flows.serving.deployments import INTERNAL_FLOWS, SCHEDULED_FLOWS
from otzyv.flows.serving.names import names
from otzyv.schemas.errors import OtzyvError
from otzyv.schemas.tables import ATTACHMENTS, RELEASES, REVIEWS, RUNS
from otzyv.tasks.alerts.alerts import Alerts
from otzyv.tasks.alerts.book import Book
from otzyv.tasks.alerts.kinds import (
    CRASHED,
    DEPLOYMENT_GONE,
    DISK_LOW,
    FAILED,
    HELD,
    KINDS,
    LATE,
    MISSING,
    NO_SUCCESS,
    SERVER_GONE,
)
from otzyv.tasks.alerts.settings import AlertLimits, alert_settings
from otzyv.tasks.alerts.state import Observation, State, Trouble
from otzyv.tasks.every_run import every_run
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.attempts import ATTEMPT, last_failed
from otzyv.tasks.pipeline.overdue import unmade

SECONDS = 60.0
"""Seconds between two checks."""
BACK = timedelta(days=1)
"""How far back the first check looks for runs that ended unobserved."""
AGAIN = timedelta(minutes=10)
"""How far back later checks look, as the end of a run may be reported late."""
SILENT = timedelta(minutes=5)
"""How long Prefect's server may be silent before an alert, as during a restart."""
ROOM = 1.1
"""The free space at which a low disk counts as recovered, as a multiple of the limit."""
WATCHED = "watched"
"""The mark that holds the time of the first check."""
GIB = 1 << 30


class Alarm:
    """Checks a lake repeatedly. A check costs a few requests to Prefect and reads the logs of a few tables."""

    def __init__(self, lake: str, ids: Mapping[str, str], say: Callable[[str], None]) -> None:
        """``ids``: full name of each deployment -> its id."""
        self.lake, self.say = lake, say
        self.book = Book(lake)
        """Shared by all checks: on a full disk only this object knows what was told."""
        self.ids = dict(ids)
        self.answered: datetime | None = None
        """When the server last answered; None before the first look."""
        self.answers = False
        self.known: tuple[tuple[int, ...], Mapping[str, Trouble], Mapping[str, int]] = ((), {}, {})
        """Versions of the tables, and for these versions the held days and the number of days by state."""
        self.failed = ""

    def look(self, now: datetime | None = None) -> None:
        """Check everything once. Never raises: an error in alerting must not end ``serve``."""
        now = now or datetime.now(UTC)
        try:
            alerts = self.alerts()
            state = alerts.book.state
            if WATCHED not in state.marks:
                alerts.mark(**{WATCHED: now.timestamp()})
            limits = alerts.settings.alerts
            observed = [*self._server(alerts, state, limits, now)]
            alerts.observe(*observed, self._success(alerts.book.state, limits, now), self._disks(state, limits))
            alerts.observe(*self._days(state))
            alerts.send_left()
            self._measure(alerts.book.state, now)
            self.failed = ""
        except Exception as error:
            failed = str(error) if isinstance(error, OtzyvError) else type(error).__name__
            if failed != self.failed:
                self.say(f"alerts: not all can be looked at: {failed}")
            self.failed = failed

    def deployments_gone(self, gone: Mapping[str, str], ids: Mapping[str, str]) -> None:
        """Alert about deleted deployments, given by name and former id. ``ids``: the current deployments."""
        self.ids = dict(ids)
        what = "it was deleted, and is made again"
        self.alerts().observe(Observation(DEPLOYMENT_GONE, {name: Trouble(what, each) for name, each in gone.items()}))

    def server_gone(self, why: str) -> None:
        """Alert that Prefect's server can't be restarted. ``serve`` ends right after this."""
        self.answers = False
        self.alerts().observe(Observation(SERVER_GONE, {"Prefect": Trouble(f"otzyv serve ends: {why}")}))

    def alerts(self) -> Alerts:
        """The alerts with the current settings, as runs read them too."""
        return Alerts(self.lake, alert_settings(), self.book, self.say, self._emit)

    def _emit(self, event: str, lake: str, subject: str, told: Mapping[str, Any]) -> None:
        if self.answers:  # else it would wait until the server is there again, and hold up the end of this process
            runs.emit(event, lake, subject, told)

    def _server(self, alerts: Alerts, state: State, limits: AlertLimits, now: datetime) -> Iterator[Observation]:
        """Observations about runs, as reported by Prefect's server, and whether it answers."""
        try:
            with get_client(sync_client=True) as client:
                found = [self._late(client, limits, now), *self._ended(client, alerts, state, now)]
            self.answered, self.answers = now, True
        except httpx.HTTPError as error:
            self.answered, self.answers = self.answered or now, False
            if now - self.answered > SILENT:
                what = f"it has not answered since {self.answered:%Y-%m-%d %H:%M} UTC ({type(error).__name__})"
                yield Observation(SERVER_GONE, {"Prefect": Trouble(what)})
            return
        yield Observation(SERVER_GONE, {})
        yield from found

    def _late(self, client: SyncPrefectClient, limits: AlertLimits, now: datetime) -> Observation:
        """Scheduled runs that have not begun in time."""
        before = now - timedelta(minutes=limits.late_minutes)
        waiting = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=before),
        )
        found: dict[str, Trouble] = {}
        for run, flow in sorted(self._runs(client, waiting), key=lambda each: each[0].expected_start_time or now):
            if flow in SCHEDULED_FLOWS and run.expected_start_time and flow not in found:
                what = f"the run of {run.expected_start_time:%Y-%m-%d %H:%M} UTC has not begun"
                found[flow] = Trouble(what, str(run.id))
        return Observation(LATE, found)

    def _ended(self, client: SyncPrefectClient, alerts: Alerts, state: State, now: datetime) -> Iterator[Observation]:
        """The outcomes of recently ended runs, in order. Some may have sent no alert themselves."""
        ended = FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[StateType.FAILED, StateType.CRASHED, StateType.COMPLETED])
            ),
            end_time=FlowRunFilterEndTime(after_=self.answered - AGAIN if self.answered else now - BACK),
        )
        for run, flow in sorted(self._runs(client, ended), key=lambda each: each[0].end_time or now):
            if run.state is None or run.end_time is None:
                continue
            when, this = run.end_time.timestamp(), runs.attempt(run.id, run.run_count)
            if run.state.type == StateType.COMPLETED:
                if flow == runs.DAILY:
                    alerts.mark(success=when)
                for kind in (FAILED, CRASHED):
                    known = state.open.get(kind.name, {}).get(flow)
                    if known is None or known.told_at < when:
                        yield Observation(kind, {}, [flow])
            elif run.state.type == StateType.CRASHED:
                yield Observation(CRASHED, {flow: Trouble(f"{run.name}: its process is gone", this)}, [flow])
            else:
                yield Observation(FAILED, {flow: Trouble(f"{run.name}: its page has the reason", this)}, [flow])

    def _runs(self, client: SyncPrefectClient, wanted: FlowRunFilter) -> Iterator[tuple[FlowRun, str]]:
        """Runs of the lake's deployments with the names of their flows, except for internal ones."""
        flows = {UUID(each): name.partition("/")[0] for name, each in self.ids.items()}
        flows = {each: flow for each, flow in flows.items() if flow not in INTERNAL_FLOWS}
        ours = DeploymentFilter(id=DeploymentFilterId(any_=[*flows]))
        for run in every_run(client, wanted, deployments=ours):
            if run.deployment_id in flows:
                yield run, flows[run.deployment_id]

    def _success(self, state: State, limits: AlertLimits, now: datetime) -> Observation:
        last = state.marks.get("success", state.marks.get(WATCHED, now.timestamp()))
        if now.timestamp() - last <= limits.no_success_hours * 3600:
            return Observation(NO_SUCCESS, {})
        what = "none has ended well since"
        if "success" not in state.marks:
            what = "none has ended well, and the lake is served since"
        since = f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M} UTC"
        return Observation(NO_SUCCESS, {runs.DAILY: Trouble(f"{what} {since}")})

    def _disks(self, state: State, limits: AlertLimits) -> Observation:
        known = state.open.get(DISK_LOW.name, {})
        found = {}
        for name, (place, free) in free_bytes(self.lake).items():
            if free < limits.disk_free_gib * GIB * (ROOM if name in known else 1):
                found[name] = Trouble(
                    f"{free / GIB:.1f} GiB are free at {place}; {limits.disk_free_gib:g} GiB are to be"
                )
        return Observation(DISK_LOW, found)

    def _days(self, state: State) -> Iterator[Observation]:
        """Held days and days that are still missing. People and other runs change both.

        ``state``: as read before the lake, so that alerts of other processes in the meantime are left alone.
        """
        lake = Lake(self.lake)
        versions = tuple(lake.snapshot(table).version for table in (RELEASES, REVIEWS, ATTACHMENTS, RUNS))
        if versions != self.known[0]:
            held = runs.held(lake)
            failed = {day for _, day in last_failed(lake.read(RUNS, columns=ATTEMPT))}
            days = {"released": len(lake.releases()), "to_make": len(unmade(lake)), "failed": len(failed)}
            self.known = (versions, held, {**days, "held": len(held)})
        yield Observation(HELD, self.known[1], {*state.open.get(HELD.name, {}), *self.known[1]})
        if missing := state.open.get(MISSING.name):
            there = {*lake.snapshot(REVIEWS).days}
            left = {day: Trouble(each.what) for day, each in missing.items() if date.fromisoformat(day) not in there}
            yield Observation(MISSING, left, [*missing])

    def _measure(self, state: State, now: datetime) -> None:
        """Store the observed figures for ``/metrics``."""
        seen = Figures(
            lake=self.lake,
            looked=now.timestamp(),
            days=self.known[2],
            daily=state.figures,
            disks={name: free for name, (_, free) in free_bytes(self.lake).items()},
            open={kind: len(state.open.get(kind, {})) for kind, each in KINDS.items() if each.lasts},
            told=state.counts,
            waiting=len(state.outbox),
        )
        figures.write(get_current_settings().home, names(self.lake).mark, seen)


def free_bytes(lake: str) -> dict[str, tuple[Path, int]]:
    """The disks that runs and the server write to, by purpose: path and free bytes. Each disk is listed once."""
    places = {"Prefect's database": get_current_settings().home, "temporary files": Path(tempfile.gettempdir())}
    if "://" not in lake:
        places = {"the lake": Path(lake), **places}
    found: dict[str, tuple[Path, int]] = {}
    disks: set[int] = set()
    for name, place in places.items():
        if place.is_dir() and (disk := place.stat().st_dev) not in disks:
            disks.add(disk)
            found[name] = (place, shutil.disk_usage(place).free)
    return found
