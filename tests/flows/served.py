"""``otzyv serve`` as tests start it: on loopback, with a Prefect home of its own, one slot, and relative paths."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from otzyv.flows.serving.names import Names, names
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from tests.tasks.reviews import bring

KEY = "a key made up for tests"


@dataclass(frozen=True)
class Served:
    """A lake that is served."""

    lake: Lake
    url: str
    told: Path
    """What the command said on standard error."""
    login: str
    """As Prefect's clients say it: ``user:password``."""
    client: httpx.Client
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def known(self) -> dict[str, str]:
        """The headers of somebody who has logged in and been given a token against forged requests."""
        told = {name: self.client.headers[name] for name in ("prefect-csrf-client", "prefect-csrf-token")}
        return {"Authorization": f"Basic {base64.b64encode(self.login.encode()).decode()}", **told}

    @property
    def environment(self) -> dict[str, str]:
        """What a command beside it is told."""
        return {"PREFECT_API_URL": f"{self.url}/api", "PREFECT_API_AUTH_STRING": self.login}

    def ask(self, method: str, path: str, /, **body: Any) -> httpx.Response:
        for _ in range(30):
            answer = self.client.request(method, path, json=body)
            if answer.status_code == 403 and "CSRF token" in answer.text:  # which is of an hour
                self.ask_token()
            elif answer.status_code == 503:
                time.sleep(1)  # its database is busy; Prefect's own client tries again as well
            else:
                break
        return answer

    def ask_token(self) -> None:
        asking = f"tests {self.told.parent}"  # a token is of one client, and the next one asked for takes its place
        for _ in range(30):
            answer = self.client.get("csrf-token", params={"client": asking})
            if answer.status_code != 503:
                break
            time.sleep(1)
        token = answer.raise_for_status().json()["token"]
        self.client.headers.update({"Prefect-Csrf-Client": asking, "Prefect-Csrf-Token": token})

    def post(self, path: str, /, **body: Any) -> Any:
        return self.ask("POST", path, **body).raise_for_status().json()

    def patch(self, path: str, /, **body: Any) -> None:
        self.ask("PATCH", path, **body).raise_for_status()

    @property
    def names(self) -> Names:
        """Of what belongs to the lake."""
        return names(self.lake.uri)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment of the lake, as ``flow/name``."""
        found: dict[str, Any] = (
            self.client.get(f"deployments/name/{self.names.deployment(name)}").raise_for_status().json()
        )
        return found

    def start(self, deployment: str, **parameters: Any) -> str:
        named = self.deployment(deployment)
        run = self.post(
            f"deployments/{named['id']}/create_flow_run", parameters=parameters, state={"type": "SCHEDULED"}
        )
        return str(run["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"flow_runs/{run_id}").raise_for_status().json()
        return found

    def completed(self, run_id: str, seconds: int = 240) -> dict[str, Any]:
        """The run, once it has ended well."""
        for _ in range(seconds * 2):
            run = self.run(run_id)
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                assert run["state_type"] == "COMPLETED", f"{run['state']['message']}\n{self.told.read_text()}"
                return run
            time.sleep(0.5)
        raise AssertionError(f"the run is still {run['state_name']}\n{self.told.read_text()}")

    def days_made(self, days: Sequence[date]) -> list[date]:
        """Those of the days whose runs have begun, in the order of their beginning."""
        names = {f"features {day}": day for day in days}
        runs = self.post("flow_runs/filter", flow_runs={"name": {"any_": list(names)}}, sort="START_TIME_ASC")
        return [names[run["name"]] for run in runs if run["start_time"]]


@contextmanager
def serving(
    folder: Path, days: Sequence[date], *options: str, database: Path | str | None = None, **environment: str
) -> Iterator[Served]:
    """Serve a lake of a few made-up reviews a day, and stop as Ctrl-C does, unless it has ended.

    One that was served before is served again, by the same Prefect. ``database``: one of Prefect's to start with, else
    its server makes one.
    """
    if (folder / "lake").exists():
        lake = Lake(folder / "lake")
    else:
        lake = Lake.create(folder / "lake", LakeConfig(author_key_check=key_check(KEY)))
        bring(lake, {day: {f"{day}-{n}": f"хороший курс {n}" for n in range(3)} for day in days})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OTZYV_", "PREFECT_"))}
    ours |= {"PREFECT_HOME": str(folder / "prefect"), "OTZYV_AUTHOR_KEY": KEY, "OTZYV_SETTINGS": "settings.toml"}
    ours |= {"XDG_CONFIG_HOME": str(folder / "config"), **environment}
    (folder / "settings.toml").write_text('source = "incoming/{day}.jsonl"\nspan_seconds = 0\n')
    (folder / "incoming").mkdir(exist_ok=True)
    if database and not (folder / "prefect").exists():
        (folder / "prefect").mkdir()
        shutil.copy(database, folder / "prefect" / "prefect.db")
    told = folder / "told.txt"
    with told.open("w") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "otzyv",
                "serve",
                "--lake",
                "lake",
                "--port",
                str(port),
                *options,
            ],
            env=ours,
            cwd=folder,
            stderr=stderr,
        )
    while "serving" not in told.read_text():
        assert process.poll() is None, told.read_text()
        time.sleep(0.5)
    (url,) = re.findall("^Prefect: (.*)$", told.read_text(), re.MULTILINE)
    kept = Path(ours["XDG_CONFIG_HOME"]) / "otzyv" / f"login-{httpx.URL(url).port}"
    login = environment.get("PREFECT_SERVER_API_AUTH_STRING") or (kept.read_text() if kept.exists() else ":")
    user, _, password = login.partition(":")
    with httpx.Client(base_url=f"{url}/api/", timeout=120, auth=(user, password)) as client:
        served = Served(lake, url, told, login, client, process)
        served.ask_token()
        try:
            yield served
        except BaseException:  # else it would outlive the test that has failed
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)  # where it ends by itself it says why
            process.send_signal(signal.SIGINT)
            process.wait(60)
            raise
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert told.read_text().endswith("stopped\n")
