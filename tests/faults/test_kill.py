"""A run that is killed loses nothing, doubles nothing and shows nobody a half; the next one ends what it began."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from otzyv.tasks.lake import Lake
from tests.faults.counts import detail, turns
from tests.faults.days import DAYS, FORGOTTEN, check_done, check_whole, expected, published, released
from tests.faults.victim import STEPS, Job, Victims
from tests.tasks.lake.decoded import decoded


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
        assert (end.killed, end.error) == (False, None)
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
            assert (end.killed, end.error) == (False, None)
            check_done(Lake(uri), edition)
            done = edition
    assert kills


def test_killed_while_it_forgets_it_forgets_all_when_run_again(victims: Victims, tmp_path: Path) -> None:
    chance, made = random.Random(11), tmp_path / "made"
    for edition in (1, 2):
        victims.run(Job("bring_and_make", str(made), edition))
    others = {key: value for key, value in expected(2)[DAYS[0]].items() if key != FORGOTTEN}
    longest = 0.0
    for turn in turns("kill -9 while forgetting", 5, 100):
        lake = Path(shutil.copytree(made, tmp_path / str(turn)))
        began = time.monotonic()
        victims.run(Job("forget_one", str(lake), 0, die_after=chance.uniform(0.01, longest) if turn else None))
        longest = longest or time.monotonic() - began
        assert without_it(lake) == others
        (end,) = victims.run(Job("forget_one", str(lake), 0))
        assert (end.killed, end.error) == (False, None)
        assert without_it(lake) == others
        assert published(Lake(lake))[DAYS[0]] == others
        assert not any(FORGOTTEN in said for said in decoded(lake))
        shutil.rmtree(lake)


def without_it(lake: Path) -> dict[str, object]:
    """What readers see of the others, whole at any time."""
    seen = released(Lake(lake), DAYS[0])
    assert seen
    return {key: vector for key, vector in seen[1].items() if key != FORGOTTEN}
