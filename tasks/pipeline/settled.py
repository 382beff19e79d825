"""Files of a source that are still being written: they are waited for, and are not to be read while they change."""

from __future__ import annotations

import time
from collections.abc import Sequence

from otzyv.tasks.sources import SourceFile

POLL = 0.5
"""Seconds after which a file that may be changing is looked at again, at most."""


def unsettled(files: Sequence[SourceFile], seconds: float, most: float) -> list[SourceFile]:
    """Wait until none of the files was changed for so many seconds; those that still are after ``most`` seconds.

    A file whose time lies ahead of this machine's clock is waited for as one that was changed now.
    """
    began = time.monotonic()
    stamps = {file: _stamp(file) for file in files}
    since = {file: began - max(0.0, time.time() - stamp[1] / 1e9) for file, stamp in stamps.items()}
    while young := [file for file in files if time.monotonic() - since[file] < seconds]:
        if time.monotonic() - began >= most:
            return young
        time.sleep(min(POLL, seconds))
        for file in young:
            if (stamp := _stamp(file)) != stamps[file]:
                stamps[file], since[file] = stamp, time.monotonic()
    return []


def _stamp(file: SourceFile) -> tuple[int, int]:
    """Size and time of the last change; of one that has gone nothing, which its reader tells."""
    try:
        told = file.path.lstat()
    except OSError:
        return 0, 0
    return told.st_size, told.st_mtime_ns
