"""How often faults are made: a sample in the tests, the full count where OTZYV_TORTURE is set."""

from __future__ import annotations

import os


def times(sample: int, full: int) -> int:
    return full if os.environ.get("OTZYV_TORTURE") else sample
