"""What a run's log says of errors that are whole sentences: the sentence once, and nothing of where it was raised.

Prefect logs such an error two or three times with its traceback, and once more in the state that the run got.
"""

from __future__ import annotations

import logging

from prefect.exceptions import CancelledRun

from otzyv.schemas.errors import OtzyvError


class _Sentences(logging.Filter):
    """Drops records whose error the state of the run tells; of a task, which may go on, only the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(error, (OtzyvError, CancelledRun)) or logging.getLogger(record.name).isEnabledFor(
            logging.DEBUG
        ):
            return True
        record.exc_info = None
        return record.name == "prefect.task_runs"


_SENTENCES = _Sentences()


def sentences_only() -> None:
    """Keep the logs of runs, and of the worker that starts them, to sentences, unless Prefect logs at DEBUG."""
    for name in ("prefect.engine", "prefect.flow_runs", "prefect.flow_runs.worker", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_SENTENCES)
