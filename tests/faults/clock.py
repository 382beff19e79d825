"""A clock of a day to come, for programs that tests start: ``clock.c``, preloaded."""

from __future__ import annotations

import mmap
import struct
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

SECONDS = struct.Struct("q")


class Clock:
    """``environment``: what makes a program go by it; all that go by one clock move together."""

    def __init__(self, folder: Path) -> None:
        library, shift = folder / "clock.so", folder / "clock"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
        shift.write_bytes(SECONDS.pack(0))
        with shift.open("r+b") as file:
            self._shift = mmap.mmap(file.fileno(), SECONDS.size)
        self.environment = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(shift)}

    @property
    def now(self) -> datetime:
        (shift,) = SECONDS.unpack(self._shift[:])
        return datetime.fromtimestamp(time.time() + shift, UTC)

    def go_on(self, to: datetime) -> None:
        """Move it on, never back."""
        assert to > self.now
        self._shift[:] = SECONDS.pack(round(to.timestamp() - time.time()))
