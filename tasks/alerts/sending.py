"""What is sent, and how that fails, in words of our own: an address, and a library's error, may hold secrets."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import HttpUrl, TypeAdapter, ValidationError


class NotSent(Exception):
    """A receiver has not taken a message; the text is of our own words. ``again``: whether it may take it soon."""

    def __init__(self, why: str, *, again: bool = True) -> None:
        super().__init__(why)
        self.again = again


@dataclass(frozen=True, slots=True)
class Told:
    """A message as receivers are told it: ``title`` and ``text`` for people, ``data`` for programs."""

    id: str
    title: str
    text: str
    data: Mapping[str, Any]


def is_address(text: str) -> bool:
    try:
        httpx.URL(text)
        TypeAdapter(HttpUrl).validate_python(text, strict=True)
    except (httpx.InvalidURL, ValidationError):
        return False
    return True


_heard: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("heard", default=None)


class _Unlogged(logging.Filter):
    """Keeps lines with addresses out of all logs while something is sent; they are kept for ``unlogged`` instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        lines = _heard.get()
        if lines is None:
            return True
        lines.append(record.getMessage())
        return False


_UNLOGGED = _Unlogged()
_LOGGERS: Sequence[str] = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "apprise",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)


@contextmanager
def unlogged() -> Iterator[list[str]]:
    """Nothing that libraries log of an address gets into a log; the lines, which may hold secrets."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_UNLOGGED)  # which does nothing where it was added before
    lines: list[str] = []
    token = _heard.set(lines)
    try:
        yield lines
    finally:
        _heard.reset(token)
