"""What a run's log says of errors that are whole sentences: the sentence once, and nothing of where it was raised.

Prefect logs such an error two or three times with its traceback, and once more in the state that the run got.
"""

from __future__ import annotations

import logging

from prefect.exceptions import CancelledRun, ObjectNotFound

from otzyv.schemas.errors import OtzyvError

STATES_TELL = ("prefect.engine", "prefect.flow_runs", "prefect.flow_runs.worker")
"""Loggers whose errors stand in the states of runs as well."""


class _Sentences(logging.Filter):
    """Drops records whose error the state of the run tells; of a task, which may go on, only the traceback.

    Of a run that somebody has deleted while it was at work (ObjectNotFound) the lines suffice as well.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        told = isinstance(error, (OtzyvError, CancelledRun))
        in_full = logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        if in_full or not (told or isinstance(error, ObjectNotFound)):
            return True
        record.exc_info = None
        return not (told and record.name in STATES_TELL)


_SENTENCES = _Sentences()


def sentences_only() -> None:
    """Keep the logs of runs, and of the worker that starts them, to sentences, unless Prefect logs at DEBUG."""
    for name in (*STATES_TELL, "prefect.task_runs", "prefect.runner.cancellation_manager"):
        logging.getLogger(name).addFilter(_SENTENCES)
