"""What an operator has set in Prefect lasts: a start of ``otzyv serve`` changes only what the settings changed.

What was deployed last stands in a variable of Prefect's. What is otherwise there now, an operator has set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, VariableCreate, VariableUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment

from otzyv.flows.serving.names import Names

SCHEDULES, PARAMETER = "schedules", "parameter "


class LastDeployed:
    """What the last start has deployed of a lake, by deployment: read when made, written by ``save``."""

    def __init__(self, client: SyncPrefectClient, ours: Names, tag: str) -> None:
        self.client, self.tag = client, tag
        self.variable = f"otzyv_{ours.digest}"
        found = client.read_variable_by_name(self.variable)
        self.before: dict[str, dict[str, Any]] = json.loads(str(found.value)) if found else {}
        self.there = found is not None
        self.now: dict[str, dict[str, Any]] = {}

    def save(self) -> None:
        value = json.dumps(self.now)
        if not self.there:
            self.client.create_variable(VariableCreate(name=self.variable, value=value, tags=[self.tag]))
        elif self.now != self.before:
            self.client.update_variable(VariableUpdate(name=self.variable, value=value))

    def kept(self, name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What an operator has set otherwise than the settings have it. ``name``: of what is deployed."""
        self.now[name] = dict(wanted)
        before = self.before.get(name, wanted)
        return {
            each: found[each]
            for each in wanted
            if each in found and found[each] != wanted[each] and found[each] != before.get(each, wanted[each])
        }


def keep_what_was_set(deployment: RunnerDeployment, there: DeploymentResponse, last: LastDeployed) -> Iterator[str]:
    """Bring what an operator has set into a deployment that is about to be applied, and say what differs."""
    wanted = _wanted(deployment)
    parameters = {f"{PARAMETER}{name}": value for name, value in there.parameters.items()}
    found = {SCHEDULES: [_schedule(each.schedule, each.active) for each in there.schedules], **parameters}
    kept = last.kept(deployment.name or "", found, wanted)
    deployment.paused = there.paused
    known = there.parameters.keys() & (deployment._parameter_openapi_schema.properties or {}).keys()
    added = {name: there.parameters[name] for name in known}  # also one that an operator has added
    deployment.parameters = {**added, **(deployment.parameters or {})}
    for name, value in kept.items():
        if name == SCHEDULES:
            deployment.schedules = [
                DeploymentScheduleCreate(schedule=each.schedule, active=each.active, slug=each.slug)
                for each in there.schedules
            ]
        else:
            deployment.parameters[name.removeprefix(PARAMETER)] = value
        yield f"{deployment.full_name}: {name} is {_told(value)} in Prefect, {_told(wanted[name])} in the settings"


def deployed(deployment: RunnerDeployment, last: LastDeployed) -> None:
    """Note one that is made, or made as the settings have it."""
    last.now[deployment.name or ""] = _wanted(deployment)


def _wanted(deployment: RunnerDeployment) -> dict[str, Any]:
    """What an operator may set of a deployment, as the settings have it."""
    given = {name: value for name, value in (deployment.parameters or {}).items() if name != "lake"}
    schedules = [_schedule(each.schedule, each.active is not False) for each in deployment.schedules or []]
    return {SCHEDULES: schedules, **{f"{PARAMETER}{name}": value for name, value in given.items()}}


def _schedule(schedule: Any, active: bool) -> dict[str, Any]:
    told = {name: value for name, value in schedule.model_dump(mode="json").items() if value is not None}
    return {**told, "active": active}


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, dict) and "active" in value:
        when = f"{value.get('cron') or json.dumps(value)} ({value.get('timezone', 'UTC')})"
        return when if value["active"] else f"{when}, switched off"
    return json.dumps(value)
