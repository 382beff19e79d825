"""Runs that are refused for what they ask: one line says so on the console, and nothing of where it was raised."""

from __future__ import annotations

import logging

from otzyv.schemas.errors import InputError


class Refused(InputError):
    """A run asks for what none through Prefect's API may have."""


class _Told(logging.Filter):
    """Drops what Prefect logs with a traceback: the line after it tells the state that the run got, and why."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], Refused))


for _name in ("prefect.flow_runs", "prefect.flow_runs.worker"):  # of a run's process, and of its worker
    logging.getLogger(_name).addFilter(_Told())
