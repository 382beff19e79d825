"""A run that is killed loses nothing, doubles nothing and shows nobody a half; the next one ends what it began."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tasks.lake import Lake
from tests.faults.counts import detail, turns
from tests.faults.days import check_done, check_whole
from tests.faults.victim import STEPS, Job, Victims


def test_killed_at_each_named_step_the_next_run_converges(victims: Victims, tmp_path: Path) -> None:
    chance, kills = random.Random(1), 0
    for turn in turns("kill -9 at each named step", 1, 100, each=len(STEPS)):
        uri = str(tmp_path / str(turn))
        for edition, step in enumerate(STEPS, 1):
            job = Job("bring_and_make", uri, edition, die_at=step, nth=chance.randint(1, 1 if edition == 1 else 3))
            (end,) = victims.run(job)
            assert end.killed or job.nth > 1, "the step was not reached"
            kills += end.killed
            check_whole(Lake(uri), range(1, edition + 1), fresh=edition == 1)
            if edition == 1:
                victims.run(Job("bring_and_make", uri, edition))
        (end,) = victims.run(Job("bring_and_make", uri, len(STEPS)))
        assert end.error is None
        check_done(Lake(uri), len(STEPS))
        detail(f"{kills} kills; in the other runs the step came less often")


def test_killed_at_any_time_the_next_run_converges(victims: Victims, tmp_path: Path) -> None:
    chance = random.Random(2)
    uri = str(tmp_path)
    victims.run(Job("bring_and_make", uri, 0))
    began = time.monotonic()
    victims.run(Job("bring_and_make", uri, 1))
    longest = time.monotonic() - began
    done, kills = 1, 0
    for turn in turns("kill -9 at any time", 6, 1000):
        edition = turn + 2
        (end,) = victims.run(Job("bring_and_make", uri, edition, die_after=chance.uniform(0.01, longest)))
        kills += end.killed
        detail(f"{kills} kills; the other runs were done before")
        check_whole(Lake(uri), range(done, edition + 1))
        if turn % 3 == 2:
            (end,) = victims.run(Job("bring_and_make", uri, edition))
            assert end.error is None
            check_done(Lake(uri), edition)
            done = edition
    assert kills
