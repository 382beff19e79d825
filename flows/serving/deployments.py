"""What ``otzyv serve`` deploys, and where each deployment's runs take their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from otzyv.flows.adapt import adapt
from otzyv.flows.backfill import backfill, backfill_days
from otzyv.flows.daily import daily
from otzyv.flows.features import features
from otzyv.flows.fit import fit
from otzyv.flows.ingest import ingest
from otzyv.flows.maintain import maintain
from otzyv.flows.quality import quality
from otzyv.flows.server.pools import HEARTBEATS, TAG
from otzyv.flows.serving.names import Names, names
from otzyv.flows.serving.operator_set import LastDeployed, deployed, keep_what_was_set
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake

SCHEDULED, BACKFILL = "scheduled", "backfill"
"""Queues of a lake's first pool: a scheduled run goes before any day of a backfill."""
TRAINING = "training"
"""Queue of the other pool, for what may take hours: one at a time, and none in the way of a scheduled run."""
WEEKLY = "0 5 * * SUN"
"""When the lake is tidied."""
INTERNAL = "internal"
"""On the deployments, and their runs, that others start and no person."""
INTERNAL_FLOWS = (backfill_days.name,)
"""Whose deployments those are."""
SCHEDULED_FLOWS = (daily.name, maintain.name)
"""Those whose runs a schedule plans."""
FORMER_AUTOMATION = "otzyv: a run without heartbeats has crashed"
"""Made by earlier versions; it took runs that started slowly for dead. ``watch`` is what looks after runs now."""
FLOWS: dict[str, str] = {
    flow.name: f"{flow.__module__}.{flow.fn.__name__}"
    for flow in (daily, backfill, backfill_days, quality, maintain, fit, adapt)
}
"""What our workers run, and where each lies."""
WITHIN = (ingest.name, features.name)
"""Flows that run within these."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What stands in Prefect now.

    ``ids``: full name of each deployment -> its id. ``differ``: what an operator has set in Prefect, and the settings
    otherwise. ``daily``: the id of the daily run's. ``scheduled``: whether such runs are to be planned; an operator may
    have switched them off.
    """

    ids: Mapping[str, str]
    differ: tuple[str, ...]
    daily: str
    scheduled: bool


def deploy(lake: str, settings: Settings, *, reset: bool = False) -> Deployed:
    """Make a lake's pools, queues and deployments, or bring them up to date.

    What an operator has set lasts; with ``reset`` everything is as the settings have it.
    """
    ours = names(lake)
    with get_client(sync_client=True) as client:
        last = LastDeployed(client, ours, TAG)
        differ = list(_make_pools(client, ours, settings, last, reset=reset))
        for older in client.read_automations_by_name(FORMER_AUTOMATION):
            client.delete_automation(older.id)
        ids, scheduled = {}, True
        for each in deployments(lake, settings):
            there = None
            with suppress(ObjectNotFound):
                there = client.read_deployment_by_name(each.full_name)
            if there is None or reset:
                deployed(each, last)
                each.paused = False
            else:
                differ += keep_what_was_set(each, there, last)
            if there is not None and there.work_pool_name != each.work_pool_name:
                client.delete_deployment(there.id)  # an earlier version had it elsewhere, and the guard lets none move
            ids[each.full_name] = str(each.apply())
            if each.flow_name == daily.name:
                scheduled = not each.paused and any(one.active is not False for one in each.schedules or ())
                first = each.full_name
        last.save()
    return Deployed(ids, tuple(differ), ids[first], scheduled)


def _make_pools(
    client: SyncPrefectClient, ours: Names, settings: Settings, last: LastDeployed, *, reset: bool
) -> Iterator[str]:
    """Pools and queues; yields what an operator has set otherwise than the settings."""
    template = job_template(Path.cwd())
    for pool, slots in ((ours.days, settings.slots), (ours.parents, None)):
        limit, wanted = slots, {"slots": slots}
        try:
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            last.now[pool] = wanted
        except ObjectAlreadyExists:
            there = client.read_work_pool(pool)
            kept = {} if reset else last.kept(pool, {"slots": there.concurrency_limit}, wanted)
            if reset:
                last.now[pool] = wanted
            if kept:
                limit = kept["slots"]
                yield f"work pool {pool}: slots is {limit} in Prefect, {slots} in the settings"
        client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit, base_job_template=template))
    for priority, queue in enumerate((SCHEDULED, BACKFILL), start=1):
        try:
            client.read_work_queue_by_name(queue, work_pool_name=ours.days)
        except ObjectNotFound:
            client.create_work_queue(queue, work_pool_name=ours.days, priority=priority)
    with suppress(ObjectAlreadyExists):
        client.create_work_queue(TRAINING, work_pool_name=ours.parents, concurrency_limit=1)


def remove_former(lake: str) -> Iterator[str]:
    """Remove the deployments that earlier versions made of the lake: their daily runs would wait for ever, unheard.

    Not on a server that others may use: there those of ``infra/prefect.yaml`` have the same names.
    """
    with get_client(sync_client=True) as client:
        for name in ("daily/features", *(f"{flow}/{flow}" for flow in FLOWS)):
            with suppress(ObjectNotFound):
                former = client.read_deployment_by_name(name)
                if former.parameters.get("lake") == lake:
                    client.delete_deployment(former.id)
                    yield name


def missing(lake: str, ids: Mapping[str, str]) -> list[str]:
    """Deployments of a lake that somebody has deleted, or whose work pool."""
    pools = names(lake).pools
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[UUID(each) for each in ids.values()]))
    with get_client(sync_client=True) as client:
        found = {
            str(each.id) for each in client.read_deployments(deployment_filter=wanted) if each.work_pool_name in pools
        }
    return [name for name, each in ids.items() if each not in found]


def job_template(folder: Path) -> dict[str, Any]:
    """What may be said of how a run is started: that it sends heartbeats. Neither a command nor an environment.

    A run starts in ``folder``: in one of its own the settings' relative paths would lead nowhere.
    """
    beats = {name: {"const": value} for name, value in HEARTBEATS.items()}
    environment = {"type": "object", "properties": beats, "additionalProperties": False}
    return {
        "job_configuration": {"env": "{{ env }}", "working_dir": str(folder)},
        "variables": {"type": "object", "properties": {"env": environment}, "additionalProperties": False},
    }


def deployments(lake: str, settings: Settings) -> Iterator[RunnerDeployment]:
    """All deployments; a flow's docstring is its description, and its parameters are the form."""
    zone = Lake(lake).constants.timezone
    ours = names(lake)
    schedule, weekly = Cron(settings.cron, timezone=zone), Cron(WEEKLY, timezone=zone)
    catching_up = {"lake": lake, "catch_up": settings.catch_up}
    yield _deployment(ours, daily, "features", ours.days, SCHEDULED, catching_up, schedule)
    yield _deployment(ours, backfill, "backfill", ours.parents, None, {"lake": lake, "request": {}})
    yield _deployment(
        ours, backfill_days, backfill_days.name, ours.days, BACKFILL, {"lake": lake}, tags=[TAG, INTERNAL]
    )
    yield _deployment(ours, quality, "quality", ours.days, BACKFILL, {"lake": lake})
    yield _deployment(ours, maintain, "maintain", ours.days, BACKFILL, {"lake": lake}, weekly)
    yield _deployment(ours, fit, "fit", ours.parents, TRAINING, {"lake": lake})
    yield _deployment(ours, adapt, "adapt", ours.parents, TRAINING, {"lake": lake})


def _deployment(
    ours: Names,
    flow: Flow[..., Any],
    name: str,
    pool: str,
    queue: str | None,
    parameters: dict[str, Any],
    schedule: Schedule | None = None,
    tags: Sequence[str] = (TAG,),
) -> RunnerDeployment:
    return RunnerDeployment.from_flow(
        flow,
        ours.deployment(name),
        parameters=parameters,
        schedule=schedule,
        work_pool_name=pool,
        work_queue_name=queue,
        entrypoint_type=EntrypointType.MODULE_PATH,
        tags=list(tags),
        job_variables={"env": HEARTBEATS},
    )
