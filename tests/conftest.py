"""What tests share: one Prefect server for all that run flows, in a home folder of its own, and a bucket on S3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import certifi
import hypothesis
import pytest
from filelock import FileLock

from otzyv.flows.server import prefect_server as settings

# Before any test imports torch, which reads it then: two processes of tests on two cores have one each, and threads
# that wait for one another while they spin take twice the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Prefect's clients read all authorities of the web each time one is made, 40 ms, and tests speak with this machine.
AUTHORITY = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115  # it is there until the process ends
AUTHORITY.write("".join(certifi.contents().partition("-----END CERTIFICATE-----")[:2]))
AUTHORITY.flush()
os.environ["PREFECT_API_SSL_CERT_FILE"] = AUTHORITY.name
settings.configure()  # before any test imports Prefect, which reads its settings then
hypothesis.settings.register_profile("otzyv", deadline=None)  # no test asserts times
hypothesis.settings.load_profile("otzyv")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Number bytes in a test's id: a file made for a test may hold the time, and processes must agree on ids."""
    return argname if isinstance(val, bytes) else None


FIRST = ("tests/flows/serving/", "tests/tasks/extractors/test_contract.py")
"""What takes longest begins first, so that no process ends long after the others."""
WHOLE = ("tests/flows/serving/",)
"""Folders that go to one process as a whole, for what their files share takes long to start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [item.nodeid.startswith(path) for path in FIRST], reverse=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As ``--dist loadfile``: each file goes to one process, and so does each folder of ``WHOLE``."""
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") != "loadfile":
        return None

    def scope(_: Any, nodeid: str) -> str:
        return next((path for path in WHOLE if nodeid.startswith(path)), nodeid.partition("::")[0])

    return type("ByFile", (LoadFileScheduling,), {"_split_scope": scope})(config, log)


MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as Prefect's server makes it when it starts for the first time, for others to start with.

    Prefect takes longer to make one than to do all else at its start. It is made once for all processes of tests.
    """
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent
    made, home = home / "prefect.db", home / "prefect"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            environment = {**os.environ, "PREFECT_HOME": str(home)}
            subprocess.run([sys.executable, "-c", MIGRATE], env=environment, check=True)
            (home / made.name).rename(made)
    return made


@pytest.fixture(scope="session")
def prefect_server(prefect_database: Path) -> Iterator[None]:
    """Prefect's own server in a temporary folder, started once."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tempfile.mkdtemp()  # which the harness removes
    shutil.copy(prefect_database, Path(home) / "prefect-test.db")
    with (
        patch("prefect.testing.utilities.mkdtemp", lambda: home),
        # Events for servers that tests have ended would be waited for at the end, for as long as there are any.
        patch("prefect.testing.utilities.run_coro_as_sync", lambda draining: draining.close()),
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),  # a flow waits for its last one to be sent
    ):
        yield
        settings.drop_events()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket on moto's server, on loopback."""
    from tests.moto import served

    with served() as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_ACCESS_KEY_ID", "made-up")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        import boto3

        boto3.client("s3").create_bucket(Bucket="reviews")
        yield "s3://reviews"
