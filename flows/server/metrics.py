"""``/metrics`` of the server that ``otzyv serve`` runs, in Prometheus' format."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from otzyv.flows.server import figures
from otzyv.flows.server.figures import Figures
from otzyv.flows.server.health import Ask, Health
from otzyv.flows.server.pools import POOL

FRESH = 10.0
"""Seconds for which figures stand: asking for them must not keep the server from its work."""
TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED", "FAILED", "CRASHED")


class Metrics:
    """Figures of all served lakes: what Prefect knows of their runs, and what each ``serve`` last saw."""

    def __init__(self, ask: Ask, health: Health, home: Path) -> None:
        self.ask, self.health, self.home = ask, health, home
        self.known: tuple[float, bytes] = (-FRESH, b"")

    async def told(self) -> bytes:
        when, known = self.known
        if time.monotonic() - when > FRESH:
            known = await self._looked()
            self.known = (time.monotonic(), known)
        return known

    async def _looked(self) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        try:
            health = await self.health.told()
            runs = await self._runs()
            up = True
        except httpx.HTTPError:  # the server's own
            health, runs, up = {"lakes": {}}, {}, False
        registry.register(_Given([*_server(health, runs, up=up), *_seen(figures.read(self.home))]))
        return generate_latest(registry)

    async def _runs(self) -> dict[tuple[str, str], int]:
        """By work pool and state, how many runs there are."""
        pools = await self.ask("work_pools/filter", {"limit": 200})
        ours = [pool["name"] for pool in pools if str(pool["name"]).startswith(POOL)]
        found = {}
        for pool in ours:
            for state in STATES:
                wanted = {
                    "work_pools": {"name": {"any_": [pool]}},
                    "flow_runs": {"state": {"type": {"any_": [state]}}},
                }
                found[pool, state] = int(await self.ask("flow_runs/count", wanted))
        return found


class _Given(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def _gauge(name: str, about: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    metric = GaugeMetricFamily(f"otzyv_{name}", about, labels=labels)
    for labelled, value in values:
        metric.add_metric(labelled, value)
    return metric


def _server(health: Mapping[str, Any], runs: Mapping[tuple[str, str], int], *, up: bool) -> Iterator[Metric]:
    lakes: Mapping[str, Mapping[str, Any]] = health["lakes"]
    yield _gauge("server_up", "Whether Prefect's server answers.", (), [((), float(up))])
    yield _gauge(
        "healthy", "Whether server, workers and daily runs are well, as /health tells.", ["lake"],
        [([lake], float(not told["wrong"])) for lake, told in lakes.items()],
    )  # fmt: skip
    yield _gauge(
        "workers", "Workers that are at work.", ["lake"],
        [([lake], len(told["workers"])) for lake, told in lakes.items()],
    )  # fmt: skip
    for name, about, key in (
        ("last_success_timestamp_seconds", "When a daily run last ended well.", "last_success"),
        ("next_run_timestamp_seconds", "When the next daily run is to begin.", "next_run"),
    ):
        yield _gauge(
            name, about, ["lake"], [([lake], _seconds(told[key])) for lake, told in lakes.items() if told[key]]
        )
    yield _gauge(
        "runs", "Runs by work pool and state.", ["pool", "state"],
        [([pool, state.lower()], count) for (pool, state), count in runs.items()],
    )  # fmt: skip


def _seen(found: Sequence[Figures]) -> Iterator[Metric]:
    yield _gauge(
        "looked_timestamp_seconds", "When otzyv serve last looked at the lake.", ["lake"],
        [([each.lake], each.looked) for each in found],
    )  # fmt: skip
    yield _gauge(
        "days", "Days by what readers see of them, and those that wait to be made or failed.", ["lake", "state"],
        [([each.lake, state], count) for each in found for state, count in each.days.items()],
    )  # fmt: skip
    for what in ("records", "days"):
        yield _gauge(
            f"last_daily_{what}", f"What the last daily run counted, of {what}.", ["lake", "what"],
            [
                ([each.lake, name.removeprefix(f"{what} ")], count)
                for each in found
                for name, count in each.daily.items()
                if name.startswith(f"{what} ")
            ],
        )  # fmt: skip
    yield _gauge(
        "disk_free_bytes", "Bytes that are free.", ["lake", "disk"],
        [([each.lake, disk], free) for each in found for disk, free in each.disks.items()],
    )  # fmt: skip
    yield _gauge(
        "alerts_open", "Things that are wrong.", ["lake", "kind"],
        [([each.lake, kind], count) for each in found for kind, count in each.open.items()],
    )  # fmt: skip
    told = CounterMetricFamily(
        "otzyv_alerts", "What was told, for the first time, again or as over.", labels=["lake", "kind", "how"]
    )
    for each in found:
        for kind, counts in each.told.items():
            for how, count in counts.items():
                told.add_metric([each.lake, kind, how], count)
    yield told
    yield _gauge(
        "alerts_waiting", "Messages that a receiver has not taken yet.", ["lake"],
        [([each.lake], each.waiting) for each in found],
    )  # fmt: skip


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
