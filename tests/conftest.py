"""What tests share: one Prefect server for all that run flows, in a home folder of its own, and a bucket on S3."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from otzyv.flows.server import prefect_server as settings

# Before any test imports torch, which reads it then: two processes of tests on two cores have one each, and threads
# that wait for one another while they spin take twice the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.configure()  # before any test imports Prefect, which reads its settings then
hypothesis.settings.register_profile("otzyv", deadline=None)  # no test asserts times
hypothesis.settings.load_profile("otzyv")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Number bytes in a test's id: a file made for a test may hold the time, and processes must agree on ids."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Prefect's own server in a temporary folder, started once."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


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
