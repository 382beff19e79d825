"""Every error of this project is one of the tree's, so that the command can print it as a sentence."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import otzyv.flows
import otzyv.schemas
import otzyv.tasks
from otzyv.schemas import errors
from otzyv.schemas.errors import OtzyvError

WITHIN = {
    "tasks.alerts.sending.NotSent": "a receiver's answer about one message; it becomes a line of the alerts",
    "tasks.media.refused.Refused": "a decoder's answer about one content; it becomes a status",
    "tasks.sources.beneath.NotPlainError": "a file's answer about one path; it becomes a reason",
    "tasks.sources.names.RefusedPath": "as above",
    "tasks.sources.reasons.InvalidRecord": "a reader's answer about one record; it becomes a row of quarantine",
}
"""Errors that never leave the part that raises them."""


def test_every_error_is_in_the_tree_or_never_leaves_its_part() -> None:
    outside = set()
    for package in (otzyv.schemas, otzyv.tasks, otzyv.flows):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                ours = one.__module__ == module.name and issubclass(one, BaseException)
                if ours and not name.startswith("_") and not issubclass(one, OtzyvError):
                    outside.add(f"{module.name.removeprefix('otzyv.')}.{name}")
    assert outside == set(WITHIN)


def test_the_docstring_draws_the_whole_tree() -> None:
    kinds = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, OtzyvError)]
    assert all(one.__name__ in (errors.__doc__ or "") for one in kinds)
