"""Messages, and errors of sending in our own words: addresses and the errors of libraries may contain secrets."""

from __future__ import annotations

import base64
import contextvars
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import HttpUrl, TypeAdapter, ValidationError


class NotSent(Exception):
    """A receiver has not taken a message. The text is our own. ``again``: whether a retry may help."""

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


SHORTEST_KEY = 8


def key_bytes(key: str) -> bytes:
    """What a webhook is signed with: what follows ``whsec_`` in base64, any other key as it is.

    Raises ValueError, which tells no part of it.
    """
    head, prefix, coded = key.partition("whsec_")
    if head or not prefix:
        secret = key.encode()
    else:
        try:
            secret = base64.b64decode(coded, validate=True)
        except ValueError:
            raise ValueError("what follows whsec_ is not base64; copy the whole key, with its = at the end") from None
    if len(secret) < SHORTEST_KEY:
        raise ValueError(f"it is to have at least {SHORTEST_KEY} characters, and as many bytes after whsec_")
    return secret


_heard: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("heard", default=None)


class _Unlogged(logging.Filter):
    """Keeps lines, which may contain addresses, out of all logs during sending; collects them for ``unlogged``."""

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
    """Suppress what libraries log while sending; yields the suppressed lines, which may contain secrets."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_UNLOGGED)  # which does nothing where it was added before
    lines: list[str] = []
    token = _heard.set(lines)
    try:
        yield lines
    finally:
        _heard.reset(token)
