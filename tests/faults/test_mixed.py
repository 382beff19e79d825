"""Ingests at any moment while days are made: at any time readers see one edition of the reviews, in all tables."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.edition import mixed_days
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.release import release
from tests.faults.counts import detail, turns
from tests.faults.editions import DAY, LENGTHS, bring, edition_seen

NAMES = (LENGTHS.card.name, "image_pixels")


def one_run(lake: Lake) -> str:
    """The steps of a day's run, once."""
    runs = [make(lake, CLEANING, DAY), *(make(lake, get(name), DAY) for name in NAMES)]
    return release.fn(lake.uri, [DAY], runs)[DAY]


def bring_after(lake: Lake, pause: float, edition: int) -> None:
    time.sleep(pause)
    bring(lake, edition)


def test_ingests_at_any_moment_of_runs_never_let_readers_see_a_mixed_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REGISTERED, LENGTHS.card.name, LENGTHS)
    chance, lake = random.Random(13), Lake.create(tmp_path)
    bring(lake, 0)
    began = time.monotonic()
    assert one_run(lake) == "released"
    longest, newest, reads, done = time.monotonic() - began, 0, 0, threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            assert edition_seen(Lake(tmp_path), range(newest + 2))
            reads += 1

    ended: dict[str, int] = {}
    with ThreadPoolExecutor(2) as pool:
        reader = pool.submit(read)
        try:
            for turn in turns("an ingest at any moment of a run", 6, 1000):
                pause = chance.uniform(0, longest)
                coming = pool.submit(bring_after, lake, pause, turn + 1)
                verdict = one_run(lake)
                coming.result()
                newest = turn + 1
                ended[verdict] = ended.get(verdict, 0) + 1
                assert edition_seen(lake, range(newest + 1))
                if turn % 10 == 5:
                    assert list(mixed_days(lake)) == []
                detail(f"{ended}, {reads} reads meanwhile")
        finally:
            done.set()
        reader.result()
    assert one_run(lake) in ("released", "unchanged")
    assert edition_seen(lake, range(newest + 1)) == (
        newest,
        frozenset({"reviews", "attachments", "clean_text", *NAMES}),
    )
