"""Prefect's server never stands still because garbage belongs to a connection that waits for its database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sqlite3, sys, threading, time
from otzyv.flows.server.garbage import collect_apart

if sys.argv[2] == "apart":
    collect_apart()
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute("CREATE TABLE t (x)")
waiter = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=6, check_same_thread=False)
holder.execute("BEGIN IMMEDIATE")

class Garbage:
    pass

garbage = Garbage()
garbage.itself, garbage.cursor = garbage, waiter.execute("SELECT 1 UNION SELECT 2")
del garbage

def wait():
    try:
        waiter.execute("INSERT INTO t VALUES (1)")
        print("written")
    except sqlite3.OperationalError as error:
        print(error)

waiting = threading.Thread(target=wait)
waiting.start()
time.sleep(0.5)
for _ in range(30):  # as a loop that works
    kept = [[] for _ in range(5_000)]
    time.sleep(0.1)
holder.execute("COMMIT")
waiting.join()
"""


def outcome(folder: Path, how: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / how), how], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_whoever_holds_the_database_goes_on_while_the_garbage_of_one_who_waits_is_collected(tmp_path: Path) -> None:
    assert outcome(tmp_path, "apart") == "written"
    assert outcome(tmp_path, "in the loop") == "database is locked", "without it the one waits for the other"
