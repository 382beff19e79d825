"""What ``otzyv serve`` deploys, and where each deployment's runs take their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
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
from otzyv.flows.server.pools import HEARTBEATS
from otzyv.flows.serving.names import Names, names
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake

SCHEDULED, BACKFILL = "scheduled", "backfill"
"""Queues of a lake's first pool: a scheduled run goes before any day of a backfill."""
WEEKLY = "0 5 * * SUN"
"""When the lake is tidied."""
TAG = "otzyv"
"""On our runs, and on the runs within them: a server may have other people's as well."""
FORMER_AUTOMATION = "otzyv: a run without heartbeats has crashed"
"""Made by earlier versions; it took runs that started slowly for dead. ``watch`` is what looks after runs now."""
FLOWS: dict[str, str] = {
    flow.name: f"{flow.__module__}.{flow.fn.__name__}"
    for flow in (daily, backfill, backfill_days, quality, maintain, fit, adapt)
}
"""What our workers run, and where each lies."""
WITHIN = (ingest.name, features.name)
"""Flows that run within these."""


def deploy(lake: str, settings: Settings) -> dict[str, str]:
    """Make a lake's pools, queues and deployments, or bring them up to date; full name -> the deployment's id."""
    ours = names(lake)
    with get_client(sync_client=True) as client:
        template = job_template(Path.cwd())
        for pool, limit in ((ours.days, settings.slots), (ours.parents, None)):
            with suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit, base_job_template=template))
        for priority, queue in enumerate((SCHEDULED, BACKFILL), start=1):
            try:
                client.read_work_queue_by_name(queue, work_pool_name=ours.days)
            except ObjectNotFound:
                client.create_work_queue(queue, work_pool_name=ours.days, priority=priority)
        for older in client.read_automations_by_name(FORMER_AUTOMATION):
            client.delete_automation(older.id)
    return {each.full_name: str(each.apply()) for each in deployments(lake, settings)}


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
    yield _deployment(ours, backfill_days, backfill_days.name, ours.days, BACKFILL, {"lake": lake})
    yield _deployment(ours, quality, "quality", ours.days, BACKFILL, {"lake": lake})
    yield _deployment(ours, maintain, "maintain", ours.days, BACKFILL, {"lake": lake}, weekly)
    yield _deployment(ours, fit, "fit", ours.days, BACKFILL, {"lake": lake})
    yield _deployment(ours, adapt, "adapt", ours.days, BACKFILL, {"lake": lake})


def _deployment(
    ours: Names,
    flow: Flow[..., Any],
    name: str,
    pool: str,
    queue: str | None,
    parameters: dict[str, Any],
    schedule: Schedule | None = None,
) -> RunnerDeployment:
    return RunnerDeployment.from_flow(
        flow,
        ours.deployment(name),
        parameters=parameters,
        schedule=schedule,
        work_pool_name=pool,
        work_queue_name=queue,
        entrypoint_type=EntrypointType.MODULE_PATH,
        tags=[TAG],
        job_variables={"env": HEARTBEATS},
    )
