"""``make torture``: the fault tests with their full counts, and a table of what was made and held.

python -m tests.faults [--share 0.1] [PYTEST OPTION ...]      a tenth of the counts; -k kill: only these tests
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import machine
from tests.faults.counts import COUNTS

TESTS = (
    "tests/faults",
    "tests/oracle",
    "tests/flows/test_forty_days.py",
    "tests/flows/test_server_lost.py",
    "tests/tasks/lake/test_upsert.py",
    "tests/tasks/extractors/test_contract.py",
    "tests/tasks/pipeline/test_spans.py",
    "tests/tasks/test_plan.py",
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    chosen, options = parser.parse_known_args(arguments)
    os.environ["OTZYV_TORTURE"] = str(chosen.share)
    os.chdir(Path(__file__).parents[2])
    where = machine()
    # Without pytest's capture of the process's own streams, so that it shows how far a count is.
    ended = pytest.main(["--capture=sys", *options, *TESTS])
    grid = Table("fault", "made and held", "full count", "seconds", "each, s", "", title="make torture")
    for count in COUNTS:
        held = f"{count.made}" if count.made == count.wanted else f"FAILED after {count.made}"
        each = f"{count.seconds / count.made:.3f}" if count.made else ""
        grid.add_row(count.fault, held, str(count.full), f"{count.seconds:.0f}", each, count.detail)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(grid)
    console.print(where, soft_wrap=True)
    return int(ended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
