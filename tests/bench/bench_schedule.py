"""A hundred simulated days of daily runs: what Prefect's database, the lake and memory grow to, maintained weekly."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from tests.bench.bench_day import KEY, write_reviews
from tests.bench.figure import Figure
from tests.faults.clock import Clock

DAYS, HALF, A_DAY = 100, 50, 20
EXTRACTORS = ("sentiment_mini", "text_navec")
FIRST = date(2027, 1, 1)
RUN_DAYS = 30
"""How long runs stay in Prefect's database; 90 by default, which a hundred days would hardly show."""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        half, whole = _live(Path(folder))
    what = f"{DAYS} days x {A_DAY} reviews, {' and '.join(EXTRACTORS)}, maintained weekly; against day {HALF}"
    yield Figure(
        "Prefect's database after a hundred days", whole["database"] / half["database"], "<= 1.1",
        f"{what}: {half['database'] / 2**20:.0f} and {whole['database'] / 2**20:.0f} MiB, runs kept {RUN_DAYS} days",
    )  # fmt: skip
    yield Figure(
        "files of the lake, for each of a hundred days",
        (whole["files"] / DAYS) / (half["files"] / HALF), "<= 1.1",
        f"{what}: {half['files']:.0f} and {whole['files']:.0f} files, {half['bytes'] / 2**20:.1f} and "
        f"{whole['bytes'] / 2**20:.1f} MiB",
    )  # fmt: skip
    yield Figure(
        "memory of a process that has made a hundred days", whole["memory"] / half["memory"], "<= 1.1",
        f"{what}: {half['memory'] / 2**20:.0f} and {whole['memory'] / 2**20:.0f} MiB",
    )  # fmt: skip


def _live(place: Path) -> list[Mapping[str, float]]:
    """What stands after half of the days and after all, both just after a maintenance."""
    clock = Clock(place)
    (place / "incoming").mkdir()
    settings = {
        "PREFECT_HOME": str(place / "prefect"),
        "OTZYV_AUTHOR_KEY": KEY.get_secret_value(),
        "OTZYV_SOURCE": str(place / "incoming" / "{day}.jsonl"),
        "OTZYV_SETTLE_SECONDS": "0",
        "OTZYV_MAINTAIN": json.dumps({"run_days": RUN_DAYS}),
    }
    command = [sys.executable, "-m", __name__, str(place)]
    found: list[Mapping[str, float]] = []
    with subprocess.Popen(
        command, env=os.environ | clock.environment | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, DAYS + 1):
            day = FIRST + timedelta(number)
            write_reviews(place / "incoming" / f"{day}.jsonl", A_DAY, day=day)
            clock.go_on(datetime(day.year, day.month, day.day, 3, tzinfo=UTC) + timedelta(days=1))
            maintained = number % 7 == 0 or number in (HALF, DAYS)
            print(day, int(maintained), file=process.stdin, flush=True)
            told = json.loads(process.stdout.readline())
            if number in (HALF, DAYS):
                found.append(told)
    return found


def _standing(place: Path) -> dict[str, float]:
    time.sleep(2)  # events are written a second later
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = [path for path in (place / "lake").rglob("*") if path.is_file()]
    return {
        "database": sum(path.stat().st_size for path in (place / "prefect").glob("prefect.db*")),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "memory": int(status["VmRSS"].removesuffix("kB")) * 1024,
    }


def _make_days(place: Path) -> None:
    """Make the days that come on standard input, and answer each with what stands then."""
    from otzyv.flows.backfill import ExtractorName
    from otzyv.flows.daily import daily
    from otzyv.flows.maintain import maintain
    from otzyv.flows.server import prefect_server
    from otzyv.tasks.lake import Lake
    from otzyv.tasks.lake.config import LakeConfig, key_check

    lake = Lake.create(place / "lake", LakeConfig(author_key_check=key_check(KEY.get_secret_value())))
    prefect_server.start()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            day, maintained = line.split()
            daily(lake.uri, day=date.fromisoformat(day), extractors=[ExtractorName(name) for name in EXTRACTORS])
            if maintained == "1":
                maintain(lake.uri)
            print(json.dumps(_standing(place) if maintained == "1" else {}), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        _make_days(Path(sys.argv[1]))
