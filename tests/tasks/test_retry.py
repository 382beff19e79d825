"""A retry follows where it can help, and only there."""

from __future__ import annotations

import errno
import json
import re

import pytest
from deltalake.exceptions import CommitFailedError
from prefect import task

from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.features import features
from otzyv.tasks.lake.delta.day import CheckFailed
from otzyv.tasks.models.store import MissingWeights
from otzyv.tasks.pipeline.make import failed
from otzyv.tasks.retry import RETRIES, environment_fault

MENDED = [
    OSError(errno.EIO, "disk"),
    ConnectionResetError("network"),
    TimeoutError("network"),
    CommitFailedError("another writer"),
]
STANDING = [
    MissingWeights("no weights"),
    FileNotFoundError("gone"),
    PermissionError("not ours"),
    ValueError("bug"),
    MemoryError(),
    CheckFailed.__new__(CheckFailed),
]


@pytest.mark.parametrize("error", [*MENDED, *STANDING], ids=lambda error: type(error).__name__)
def test_the_environments_faults_are_tried_again_and_no_others(prefect_server: None, error: Exception) -> None:
    tries: list[int] = []

    @task(retries=RETRIES, retry_condition_fn=environment_fault)
    def work() -> str:
        tries.append(1)
        if len(tries) <= RETRIES:
            raise error
        return "done"

    state = work(return_state=True)
    assert (state.is_completed(), len(tries)) == ((True, RETRIES + 1) if error in MENDED else (False, 1))


def test_an_extractors_task_is_tried_again_with_growing_delays() -> None:
    assert features.retries == RETRIES
    assert features.retry_condition_fn is environment_fault
    assert isinstance(features.retry_delay_seconds, list)
    assert features.retry_delay_seconds == sorted(features.retry_delay_seconds)


def test_a_failed_run_keeps_one_line_of_its_error() -> None:
    from datetime import date

    day = date(2026, 3, 1)
    assert failed("text_toy", day, ExtractorFailed("first\nsecond")).error == "ExtractorFailed: first"
    assert failed("text_toy", day, PermissionError(13, "no", "/ivan")).error == "PermissionError: Permission denied"
    assert failed("text_toy", day, ValueError("Иван П.: ужасный курс")).error == "ValueError"
    try:
        json.loads("Иван П.: ужасный курс")
    except ValueError as error:
        told = str(failed("text_toy", day, error).error)
    assert re.fullmatch(r"JSONDecodeError: raised in json\.decoder, line \d+", told)
