"""Several ``otzyv serve``: of one lake one leads and the others wait; of several lakes none takes anything over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from tests.faults.counts import share, turns
from tests.flows.served import KEY, Served, serving

DAYS = [date(2026, 6, 1)]


def beside(served: Served) -> dict[str, str]:
    """The environment of the same user."""
    home = served.told.parent
    return {"PREFECT_HOME": str(home / "prefect"), "XDG_CONFIG_HOME": str(home / "config")}


def test_another_lake_is_served_by_the_same_prefect_and_takes_nothing_over(served: Served, tmp_path: Path) -> None:
    def first() -> list[dict[str, object]]:
        ours = (served.deployment(name) for name in ("daily/features", "maintain/maintain", "backfill/backfill"))
        return [one | {"last_polled": None, "status": None} for one in ours]

    before = first()
    with serving(tmp_path, DAYS, **beside(served)) as other:
        assert other.url == served.url
        assert first() == before
        theirs = other.deployment("daily/features")
        assert theirs["parameters"]["lake"] == other.lake.uri
        assert theirs["work_pool_name"] not in {one["work_pool_name"] for one in before}
        orders = [{"day": str(DAYS[0]), "extractors": ["sentiment_mini"]}]
        other.completed(other.start("backfill days/backfill days", orders=orders))
        assert list(other.lake.releases()) == DAYS
        assert served.client.get("health").status_code == 200
    assert served.client.get("health").status_code == 200, "it is the other's server"


def test_a_second_one_of_the_same_lake_waits_and_with_check_it_is_refused(served: Served, tmp_path: Path) -> None:
    environment = {**os.environ, "OTZYV_AUTHOR_KEY": KEY, **beside(served)}
    command = [sys.executable, "-m", "otzyv", "serve", "--lake", served.lake.uri]
    checked = subprocess.run([*command, "--check"], env=environment, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr.count("\n")) == (1, 1)
    assert f"another otzyv serve works on {served.lake.uri}" in checked.stderr
    said = tmp_path / "said"
    with said.open("w") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as second:
        while "this one waits until it ends" not in said.read_text():
            assert second.poll() is None, said.read_text()
            time.sleep(0.2)
        time.sleep(2)
        assert said.read_text().count("\n") == 1
        second.terminate()
    assert second.returncode == 1, "SIGTERM ends a command as Ctrl-C does"
    assert said.read_text().endswith("Aborted!\n")


@pytest.mark.skipif(not share(), reason="takes a minute: make torture")
def test_a_second_one_goes_on_when_the_first_dies_and_another_lake_s_takes_the_server_over(tmp_path: Path) -> None:
    for turn in turns("the first of several `otzyv serve` killed", 1, 3):
        homes = [tmp_path / f"{turn}-{n}" for n in range(2)]
        for home in homes:
            home.mkdir()
        with serving(homes[0], DAYS) as first, serving(homes[1], DAYS, **beside(first)) as other:
            command = [sys.executable, "-m", "otzyv", "serve", "--lake", first.lake.uri]
            environment = {**os.environ, "OTZYV_AUTHOR_KEY": KEY, **beside(first)}
            told = tmp_path / f"told-{turn}"
            with told.open("w") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as second:
                while "this one waits" not in told.read_text():
                    time.sleep(0.2)
                first.process.kill()
                first.process.wait()
                while "serving" not in told.read_text():
                    assert second.poll() is None, told.read_text()
                    time.sleep(0.2)
                orders = [{"day": str(DAYS[0]), "extractors": ["sentiment_mini"]}]
                for each in (first, other):
                    each.completed(each.start("backfill days/backfill days", orders=orders))
                second.send_signal(signal.SIGINT)
            assert second.returncode == 0
