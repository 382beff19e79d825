"""``infra/prefect.yaml`` deploys what ``otzyv serve`` does."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from prefect.deployments.runner import RunnerDeployment

from otzyv.flows.serving.deployments import deployments
from otzyv.flows.serving.names import names
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
    ours = names(lake.uri)
    served = {
        (one.name or "").removesuffix(f" {ours.mark}"): described(one) for one in deployments(lake.uri, Settings())
    }
    for one in served.values():
        one["pool"] = str(one["pool"]).replace(f"-{ours.mark}", "")  # a cluster is one lake's
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


PREFECT = """
import json, sys
from prefect.cli import app
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["prefect", "--no-prompt", *arguments]
    try:
        app()
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{arguments} ended with exit status {ended.code}")
"""
"""Commands of Prefect's one after the other, in one process of theirs, as they leave sockets open."""


def prefect(*lines: Sequence[str]) -> None:
    from prefect.settings import PREFECT_API_URL

    done = subprocess.run(
        [sys.executable, "-c", PREFECT, json.dumps(lines)],
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "OTZYV_LAKE": "s3://bucket/lake"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_of_the_document_set_a_cluster_up(prefect_server: None) -> None:
    from prefect.cli.worker import worker_app
    from prefect.client.orchestration import get_client

    blocks = re.findall(r"```\n(.*?)```", (ROOT / "docs" / "run-on-a-cluster.md").read_text(), re.DOTALL)
    said = [shlex.split(line) for block in blocks for line in block.splitlines()]
    lines = [line[line.index("prefect") + 1 :] for line in said if "prefect" in line]
    assert len(lines) == 9
    for line in lines[-2:]:
        _, given, _ = worker_app.parse_args(line[1:])
        assert given.arguments["work_pool_name"] in ("otzyv", "otzyv-parents")
    with get_client(sync_client=True) as client:
        prefect(*lines[:-2])
        made = {one.name: one for one in client.read_deployments()}
        assert client.read_work_pool("otzyv").concurrency_limit == 2
        for deployment in made.values():
            client.delete_deployment(deployment.id)
        for pool in ("otzyv", "otzyv-parents"):
            client.delete_work_pool(pool)
    for one in yaml.safe_load((ROOT / "infra" / "prefect.yaml").read_text())["deployments"]:
        assert made[one["name"]].entrypoint == one["entrypoint"]
        assert made[one["name"]].parameters["lake"] == "s3://bucket/lake"
