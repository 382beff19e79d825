"""The log of ``otzyv serve`` in a file: what it says, what workers and runs log, each line with its time."""

from __future__ import annotations

import io
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

MOST, KEPT = 10 << 20, 5
"""Bytes of a file, after which the next one begins, and how many older ones stay."""


class _Own(RotatingFileHandler):
    """For its owner alone: what runs log may hold names, and a new login is said once."""

    def _open(self) -> io.TextIOWrapper:
        return open(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8")


class LogFile(io.TextIOBase):
    """A stream that writes to another one, and its lines to a file as well."""

    def __init__(self, path: Path, beside: TextIO) -> None:
        """Raises OSError where the file can't be written."""
        self.beside, self.part = beside, ""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.handler = _Own(path, maxBytes=MOST, backupCount=KEPT, encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def write(self, text: str, /) -> int:
        self.beside.write(text)
        *lines, self.part = (self.part + text).split("\n")
        for line in lines:
            self.handler.emit(logging.LogRecord("otzyv", logging.INFO, "", 0, line, None, None))
        return len(text)

    def flush(self) -> None:
        self.beside.flush()

    def close(self) -> None:
        """The file alone: the other stream is whose it was."""
        self.handler.close()
        super().close()

    def isatty(self) -> bool:
        return self.beside.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.beside.encoding
