"""``infra/prefect.yaml`` deploys what ``otzyv serve`` does."""

from __future__ import annotations

import importlib
from pathlib import Path

import yaml
from prefect.deployments.runner import RunnerDeployment

from otzyv.flows.serving.deployments import deployments
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake

ROOT = Path(__file__).parents[2]


def described(deployment: RunnerDeployment) -> dict[str, object]:
    return {
        "entrypoint": deployment.entrypoint,
        "pool": deployment.work_pool_name,
        "queue": deployment.work_queue_name,
        "schedules": [(s.schedule.cron, s.schedule.timezone) for s in deployment.schedules or []],  # type: ignore[union-attr]
        "parameters": set(deployment.parameters or {}),
        "job_variables": deployment.job_variables,
        "tags": deployment.tags,
    }


def test_the_file_and_serve_deploy_the_same(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    served = {one.name: described(one) for one in deployments(lake.uri, Settings())}
    filed = {}
    for one in yaml.safe_load((ROOT / "infra" / "prefect.yaml").read_text())["deployments"]:
        module, _, name = one["entrypoint"].rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        filed[one["name"]] = {
            "entrypoint": one["entrypoint"],
            "pool": one["work_pool"]["name"],
            "queue": one["work_pool"].get("work_queue_name"),
            "schedules": [(s["cron"], s["timezone"]) for s in one.get("schedules", [])],
            "parameters": set(one["parameters"]),
            "job_variables": one["work_pool"]["job_variables"],
            "tags": one["tags"],
        }
    assert filed == served
