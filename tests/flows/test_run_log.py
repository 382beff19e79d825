"""An error that is a whole sentence is logged as one; any other error keeps its traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from prefect.exceptions import CancelledRun, ObjectNotFound

from otzyv.flows.run_log import sentences_only
from otzyv.schemas.errors import LakeError, OtzyvError

RUN_LOGS = ("prefect.engine", "prefect.flow_runs", "prefect.flow_runs.worker")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    sentences_only()
    levels = dict[str, int]()
    for name in (*RUN_LOGS, "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.addHandler(caplog.handler)
        levels[name] = logger.level
        logger.setLevel(logging.INFO)
    yield caplog
    for name in (*RUN_LOGS, "prefect.task_runs"):
        logging.getLogger(name).removeHandler(caplog.handler)
        logging.getLogger(name).setLevel(levels[name])


@pytest.mark.parametrize("name", [*RUN_LOGS, "prefect.task_runs"])
@pytest.mark.parametrize(
    "error",
    [LakeError("a lake holds no table of that name"), CancelledRun("paused"), ObjectNotFound(KeyError()), KeyError()],
)
def test_sentences_come_without_where_they_were_raised(
    name: str, error: Exception, logged: pytest.LogCaptureFixture
) -> None:
    try:
        raise error
    except Exception:
        logging.getLogger(name).exception("it ended badly")
    told = "".join(logging.Formatter().format(record) for record in logged.records)
    assert ("Traceback" in told) is isinstance(error, KeyError)
    its_state_tells = isinstance(error, (OtzyvError, CancelledRun)) and name != "prefect.task_runs"
    assert ("it ended badly" in told) is not its_state_tells
