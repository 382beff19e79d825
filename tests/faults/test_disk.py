"""Where no more can be written, the lake stays as it was, the error is clear, and the next run needs no hand work."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otzyv.tasks.lake import Lake
from tests.faults.counts import times, turns
from tests.faults.days import check_done, check_whole
from tests.faults.victim import Job, Victims


def test_a_file_that_can_not_be_written_whole_leaves_the_lake_as_it_was(victims: Victims, tmp_path: Path) -> None:
    chance = random.Random(3)
    uri = str(tmp_path)
    victims.run(Job("bring_and_make", uri, 0))
    largest = max(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    sizes = [round(largest * (n + chance.random()) / times(4, 200)) for n in range(times(4, 200))]
    failed = 0
    for turn in turns("no file may grow beyond a size", 4, 200):
        edition, size = turn + 1, sizes[turn]
        (end,) = victims.run(Job("bring_and_make", uri, edition, largest_file=size))
        assert not end.killed
        if end.error:
            failed += 1
            assert re.search(f"File too large: '{uri}/[^{{}}]+'", end.error)
        check_whole(Lake(uri), range(edition + 1))
    assert failed > len(sizes) // 2
    (end,) = victims.run(Job("bring_and_make", uri, edition))
    assert end.error is None
    check_done(Lake(uri), edition)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MiB, where this user may mount one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_leaves_the_lake_as_it_was_and_space_alone_mends_it(victims: Victims, disk: Path) -> None:
    chance = random.Random(6)
    uri, ballast = str(disk / "lake"), disk / "ballast"
    victims.run(Job("bring_and_make", uri, 0))
    failed = 0
    for turn in turns("disk full", 4, 200):
        edition = turn + 1
        free = subprocess.run(["stat", "-f", "-c", "%f %S", disk], capture_output=True, text=True, check=True)
        blocks, size = map(int, free.stdout.split())
        ballast.write_bytes(bytes(max(0, blocks - chance.randint(0, 20)) * size))
        (end,) = victims.run(Job("bring_and_make", uri, edition))
        failed += end.error is not None
        assert end.error is None or {uri in end.error, "o space left on device" in end.error} == {True}
        check_whole(Lake(uri), range(edition + 1))
        ballast.unlink()
    assert failed
    (end,) = victims.run(Job("bring_and_make", uri, edition))
    assert end.error is None
    check_done(Lake(uri), edition)
