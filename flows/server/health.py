"""Whether all that makes days is at work: the answer to ``/health`` of the server that ``otzyv serve`` runs.

Without the login it tells only whether all is well, with status 200 or 503; with it, what of which lake is not.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from otzyv.tasks.alerts.settings import alert_settings

FRESH = 5.0
"""Seconds for which an answer stands: anybody on this machine may ask."""
DAILY = "otzyv.flows.daily.daily"


def late() -> timedelta:
    """How late a daily run may begin, as another run may hold its place: as long as no alert tells of it."""
    return timedelta(minutes=alert_settings().alerts.late_minutes)


Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Puts a question to Prefect's API: the path and what is sent, and what is answered."""


class Health:
    """What is known of all served lakes."""

    def __init__(self, ask: Ask, tag: str) -> None:
        """``tag``: what our deployments carry."""
        self.ask, self.tag = ask, tag
        self.known: tuple[float, dict[str, Any]] = (-FRESH, {})

    async def told(self) -> dict[str, Any]:
        """``ok``, and for each lake what is wrong, its workers, its last and its next daily run."""
        when, known = self.known
        if time.monotonic() - when > FRESH:
            known = await self._looked(datetime.now(UTC))
            self.known = (time.monotonic(), known)
        return known

    async def _looked(self, now: datetime) -> dict[str, Any]:
        filters = {"deployments": {"tags": {"all_": [self.tag]}}}
        found = await self.ask("deployments/filter", filters)
        lakes = {
            each["parameters"].get("lake"): await self._lake(each, now) for each in found if each["entrypoint"] == DAILY
        }
        ok = bool(lakes) and not any(lake["wrong"] for lake in lakes.values())
        return {"ok": ok, "server": "ok", "lakes": lakes}

    async def _lake(self, daily: dict[str, Any], now: datetime) -> dict[str, Any]:
        """``daily``: the deployment of a lake's daily runs."""
        pool = daily["work_pool_name"]
        workers = await self.ask(f"work_pools/{pool}/workers/filter", {}) if pool else []
        online = [worker["name"] for worker in workers if worker["status"] == "ONLINE"]
        last = await self._run(daily, ["COMPLETED", "FAILED", "CRASHED"], "END_TIME_DESC")
        success = (
            last
            if last and last["state_type"] == "COMPLETED"
            else await self._run(daily, ["COMPLETED"], "END_TIME_DESC")
        )
        coming = await self._run(daily, ["SCHEDULED"], "EXPECTED_START_TIME_ASC")
        planned = not daily["paused"] and any(each["active"] for each in daily["schedules"])
        wrong = []
        if not online:
            wrong.append("no worker is at work: otzyv serve does not run for this lake")
        if planned and not coming:
            wrong.append("no daily run is planned")
        if coming and now - datetime.fromisoformat(coming["expected_start_time"]) > late():
            wrong.append(f"the daily run of {coming['expected_start_time']} has not begun")
        if last and last["state_type"] != "COMPLETED":
            wrong.append(f"the last daily run has ended as {last['state_name']}: {last['name']}")
        return {
            "wrong": wrong,
            "workers": online,
            "paused": not planned,
            "last_success": success["end_time"] if success else None,
            "next_run": coming["expected_start_time"] if coming else None,
        }

    async def _run(self, daily: dict[str, Any], states: list[str], sort: str) -> dict[str, Any] | None:
        """The first of a lake's daily runs in one of these states."""
        runs = await self.ask(
            "flow_runs/filter",
            {
                "deployments": {"id": {"any_": [daily["id"]]}},
                "flow_runs": {"state": {"type": {"any_": states}}},
                "sort": sort,
                "limit": 1,
            },
        )
        return runs[0] if runs else None
