"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Lock:
    """Held by one process of this machine at a time."""

    def __init__(self, path: Path) -> None:
        """``path``: a folder, which is locked as it is, or a file, which is made. Raises OSError."""
        self.folder = path.is_dir()
        if not self.folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY if self.folder else os.O_RDWR | os.O_CREAT
        self.file = os.open(path, flags, 0o600)

    def take(self, told: str = "") -> bool:
        """Whether it is held now; ``told``: what whoever finds it held is to know."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if told:
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, told.encode(), 0)
        return True

    @property
    def told(self) -> str:
        """What the holder has told."""
        return os.pread(self.file, 1024, 0).decode()

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            os.close(self.file)
