"""Nobody else gets in: not a page of another site, not a name that it points here, not another user of this machine."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from otzyv.flows.serving.deployments import deployments
from otzyv.flows.settings import Settings
from tests.flows.attacks import foreign, get_in, requests, sent, stranger
from tests.flows.served import Served


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that is made by whoever gets a command run."""
    marker = tmp_path / "got-in"
    yield marker
    assert not marker.exists()


def deployment(served: Served, name: str = "maintain/maintain") -> dict[str, Any]:
    return served.deployment(name)


def test_no_page_of_another_site_gets_in_not_even_with_the_login(served: Served, marker: Path) -> None:
    at, asked = served.port, list(requests(deployment(served)["id"], f"touch {marker}"))
    for number, caller in enumerate(foreign(at)):
        some = [asked[(3 * number + n) % len(asked)] for n in range(3)]  # all of them: make torture
        for more in ({}, served.known):
            assert not get_in(at, caller, some, more), caller


def test_another_user_of_this_machine_gets_no_further_than_whether_the_server_is_well(
    served: Served, marker: Path
) -> None:
    at, him = served.port, stranger(served.port)
    tries = [{}, {"Authorization": "Basic b3R6eXY6"}, {"Authorization": "Bearer otzyv"}, {"Cookie": "prefect=1"}]
    for request in requests(deployment(served)["id"], f"touch {marker}"):
        for more in tries:
            assert sent(at, him, request, more).status in (401, 403), request
    assert sent(at, him, next(requests("", "")), served.known).status == 404, "with the login it is another matter"
    kept = served.told.parent / "config" / "otzyv" / f"login-{at}"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert served.told.read_text().count(served.login) == 1, "it is shown once"
    secret = served.login.partition(":")[2]
    assert len(secret) >= 40
    processes = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert "otzyv.flows.server.guard" in processes
    assert secret not in processes


def test_our_own_pages_and_commands_get_in_and_nobody_frames_them(served: Served) -> None:
    at = served.port
    for own in (f"http://127.0.0.1:{at}", f"http://localhost:{at}"):
        link = {"Host": own.removeprefix("http://"), "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
        page = served.client.get(f"{own}/", headers=link, follow_redirects=True)
        assert (page.status_code, page.headers["x-frame-options"]) == (200, "DENY")
        answer = served.client.get(f"work_pools/{served.names.days}", headers={"Origin": own})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, own)
    assert "access-control-allow-origin" not in served.client.get("health").headers


def test_serving_again_beside_the_same_server_brings_the_deployments_up_to_date(served: Served) -> None:
    ours = deployment(served)
    there = temporary_settings({PREFECT_API_URL: f"{served.url}/api", PREFECT_API_AUTH_STRING: served.login})
    with there:
        for each in deployments(served.lake.uri, Settings()):
            each.apply()
    again = deployment(served)
    same = ("id", "job_variables", "entrypoint", "work_pool_name", "tags")
    assert [again[name] for name in same] == [ours[name] for name in same]


def test_whatever_the_api_is_told_a_worker_runs_the_flows_of_this_project_alone(served: Served, marker: Path) -> None:
    command, ours = f"touch {marker}", deployment(served)
    said = {"job_variables": {"command": command}}
    later = {"state": {"type": "SCHEDULED"}}

    def begin(variables: dict[str, Any]) -> int:
        return served.ask(
            "POST", f"deployments/{ours['id']}/create_flow_run", **later, job_variables=variables
        ).status_code

    for variables in (
        {"command": command},
        {"env": {"LD_PRELOAD": "/evil.so"}},
        {"env.PYTHONPATH": "/"},
        {"name": "x"},
    ):
        assert begin(variables) == 422
    changes: tuple[dict[str, Any], ...] = (
        said,
        {"job_variables": {"env": {}}},
        {"entrypoint": "evil.py:maintain"},
        {"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": command}}]},
        {"work_pool_name": served.names.parents},
        {"parameters": {"lake": str(marker.parent)}},
    )
    for change in changes:
        answer = served.ask("PATCH", f"deployments/{ours['id']}", paused=True, **change)
        assert (answer.status_code, next(iter(change)).removesuffix("s") in answer.text) == (403, True), change
        now = deployment(served) | {"last_polled": ours["last_polled"]}  # a worker asks for its runs all the time
        assert now == ours, "its later runs start as before"
    form = {name: ours[name] for name in ("job_variables", "tags", "work_pool_name", "work_queue_name", "parameters")}
    served.patch(f"deployments/{ours['id']}", **form, description="a form sends what it does not change as well")
    served.patch(f"deployments/{ours['id']}", paused=True)
    assert deployment(served)["paused"]
    served.patch(f"deployments/{ours['id']}", paused=False, description=ours["description"])

    # Whoever has the login can change what the API knows; the workers do not go by it.
    pools = {pool: served.client.get(f"work_pools/{pool}").json()["base_job_template"] for pool in served.names.pools}
    for pool in pools:
        given = {
            "job_configuration": {"command": command, "env": "{{ env }}"},
            "variables": {"properties": {"env": {}}},
        }
        served.patch(f"work_pools/{pool}", base_job_template=given)
    evil = served.post("flows/", name="evil")["id"]
    maintain = served.post("flows/", name="maintain")["id"]
    script = marker.with_name("evil.py")
    script.write_text(f"import pathlib\nfrom prefect import flow\npathlib.Path({str(marker)!r}).touch()\n"
                      "@flow\ndef maintain(lake=''):\n    ...\n")  # fmt: skip
    pull = [{"prefect.deployments.steps.run_shell_script": {"script": command}}]
    theirs = {"work_pool_name": served.names.days, "path": str(marker.parent), "parameters": {"lake": served.lake.uri}}
    made = [
        served.post(
            "deployments/", name="evil", flow_id=flow, entrypoint=f"{script}:maintain", pull_steps=pull, **theirs
        )
        for flow in (evil, maintain)
    ]
    refused = [
        served.post(f"deployments/{made[0]['id']}/create_flow_run", **later)["id"],
        served.post(f"deployments/{ours['id']}/create_flow_run", **later, job_variables={"env": {"A": "b"}})["id"],
        served.post("flow_runs/", flow_id=evil, work_pool_name=served.names.days, **later)["id"],
        served.post("flow_runs/", flow_id=maintain, work_pool_name=served.names.days, **later, **said)["id"],
    ]
    ours_all_the_same = served.post(f"deployments/{made[1]['id']}/create_flow_run", **later)["id"]
    for run in refused:
        for _ in range(480):
            state = served.run(run)["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            time.sleep(0.5)
        assert state["type"] == "CRASHED"
        assert "Refused" in state["message"]
    served.completed(ours_all_the_same)
    elsewhere = served.start("maintain/maintain", lake="/etc")
    for _ in range(480):
        if "NotAllowed: " in (told := served.told.read_text()):
            break
        time.sleep(0.5)
    assert served.run(elsewhere)["state_type"] == "FAILED"
    lines = [line for line in told.splitlines() if "Refused: " in line or "NotAllowed: " in line]
    assert len(lines) == len(refused) + 1, f"a line each\n{told}"
    assert "may not name the lake '/etc'" in lines[-1]
    assert "Traceback" not in told
    for pool, template in pools.items():
        served.patch(f"work_pools/{pool}", base_job_template=template)
    for one in made:
        served.ask("DELETE", f"deployments/{one['id']}").raise_for_status()
