"""Prefect only shows what runs do: a run that loses its server says so, and leaves to the next one what is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from otzyv.schemas.tables import RUNS
from tests.faults.counts import share, turns
from tests.flows.command import Otzyv, review
from tests.flows.road import Road

HOME = Path(__file__).parents[2]
DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


@pytest.mark.skipif(not share(), reason="takes half a minute: make torture")
def test_a_run_whose_server_is_gone_for_good_says_so_in_a_line_and_the_next_one_makes_what_is_left(
    otzyv: Otzyv,
) -> None:
    for _ in turns("Prefect's server gone from the start of a run to its end", 1, 1):
        otzyv.write("reviews.jsonl", [review(f"{day}/{n}", day=str(day)) for day in DAYS for n in range(5)])
        command = [
            sys.executable,
            "-m",
            "otzyv",
            "run",
            "--source",
            str(otzyv.source),
            "--lake",
            str(otzyv.lake),
        ]
        with (
            Road(str(PREFECT_API_URL.value())) as road,
            subprocess.Popen(
                [*command, "--extractors", "sentiment_mini"],
                cwd=HOME,
                env={**os.environ, "PREFECT_API_URL": f"{road.url}/api", "PREFECT_CLIENT_MAX_RETRIES": "1"},
                stderr=subprocess.PIPE,
                text=True,
            ) as run,
        ):
            while not (otzyv.lake / "clean_text" / "_delta_log").exists():
                assert run.poll() is None, run.communicate()
                time.sleep(0.02)
            road.cut()
            _, said = run.communicate()
        assert run.returncode == 1
        *bars, line = said.splitlines()
        assert line.startswith(f"Error: Prefect's server at {road.url}/api no longer answers (ConnectError): ")
        assert all("━" in bar for bar in bars), said
        assert list(otzyv.opened().releases()) == DAYS[:1], "the day that had begun is published"

        otzyv.run()
        lake = otzyv.opened()
        attempts = Counter((row["table"], row["day"]) for row in lake.read(RUNS).to_pylist())
        assert attempts == {(table, day): 1 for table in ("clean_text", "sentiment_mini") for day in DAYS}
        assert {day: release.sequence for day, release in lake.releases().items()} == dict.fromkeys(DAYS, 1)
