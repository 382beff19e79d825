"""Garbage is collected by a thread of its own in the process of Prefect's server.

The collector frees what it finds in whichever thread it runs. In the thread of the event loop this may be a cursor of
a SQLite connection that waits, in another thread, for the right to write: SQLite lets nobody touch a connection that is
in use, so the loop stands still, and with it whoever holds that right, until the wait is given up after a minute. Seen
with Prefect 3.8.8 on two lakes, once in half an hour of paused and cancelled runs.
"""

from __future__ import annotations

import gc
import threading
import time

SECONDS = 1.0
"""Between two collections of what is young."""
ALL = 60
"""Every which collection is of all objects."""


def collect_apart() -> None:
    """From now on; objects that are there already are taken to stay."""
    gc.disable()
    gc.collect()
    gc.freeze()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    turn = 0
    while True:
        time.sleep(SECONDS)
        turn += 1
        gc.collect(1 if turn % ALL else 2)
