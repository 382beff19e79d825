"""Of several writers of a day one wins, and no old one replaces what is newer."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otzyv.tasks.lake import Lake
from tests.faults.counts import turns
from tests.faults.days import DAYS, TOY, bring_and_make, expected, make_alone
from tests.faults.victim import Job, Victims


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    bring_and_make(str(tmp_path / "lake"), 1)
    return Lake(tmp_path / "lake")


def made_by(lake: Lake) -> dict[str, float]:
    """Key -> version of the code that made the row."""
    rows = lake.read(TOY, DAYS[0]).to_pylist()
    assert len({row["review_id"] for row in rows}) == len(rows)
    return {row["review_id"]: row["embedding"][1] for row in rows}


@pytest.mark.parametrize("writers", [2, 5])
def test_of_writers_that_commit_at_once_exactly_one_wins(
    victims: Victims, lake: Lake, tmp_path: Path, writers: int
) -> None:
    for race in turns(f"{writers} writers of a day at once", 2, 500 if writers == 2 else 50):
        meeting = tmp_path / f"race {race}"
        meeting.mkdir()
        versions = [2 + race * writers + n for n in range(writers)]
        ends = victims.run(
            *(Job("make_alone", lake.uri, version, wait_for=(str(meeting), writers)) for version in versions)
        )
        states = [end.states for end in ends]
        assert sorted(states) == [("published",)] + [("superseded",)] * (writers - 1)
        winner = float(versions[states.index(("published",))])
        assert made_by(lake) == dict.fromkeys(expected(1)[DAYS[0]], winner)
    assert not lake.storage.files("_staging", recursive=True)


def test_a_slow_old_run_ends_as_superseded_and_replaces_nothing(victims: Victims, lake: Lake, tmp_path: Path) -> None:
    for race in turns("a slow old run", 2, 100):
        meeting = tmp_path / f"race {race}"
        meeting.mkdir()
        old, new = 2 + 2 * race, 3 + 2 * race
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(victims.run, Job("make_alone", lake.uri, old, wait_for=(str(meeting), 2)))
            while not os.listdir(meeting):
                assert not slow.done(), slow.result()
            assert make_alone(lake.uri, new).state == "published"
            (meeting / "the newer run is done").touch()
            (end,) = slow.result()
        assert end.states == ("superseded",)
        assert set(made_by(lake).values()) == {float(new)}
