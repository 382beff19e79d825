"""Of several makers of one lake exactly one wins, wherever the lake lies; all go on with what it fixed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otzyv.schemas.tables import MODELS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.lake.delta.snapshot import create_table, open_snapshot
from otzyv.tasks.lake.delta.storage import Storage
from tests.faults.counts import turns

MAKERS = 8


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    bucket: str = request.getfixturevalue("s3") if request.param == "s3" else str(tmp_path)
    return bucket


def test_makers_of_a_lake_at_once_agree_on_its_author_key(place: str) -> None:
    where = "on S3" if place.startswith("s3") else "on disk"
    with ThreadPoolExecutor(MAKERS) as pool:
        for race in turns(f"{MAKERS} makers of a lake {where}", 3, 100):
            uri = f"{place}/race-{race}"
            ready = threading.Barrier(MAKERS)

            def make(maker: int, uri: str = uri, ready: threading.Barrier = ready) -> str:
                ready.wait(60)
                return Lake.create(
                    uri, LakeConfig(author_key_check=key_check(f"key {maker}"))
                ).constants.author_key_check

            seen = set(pool.map(make, range(MAKERS)))
            assert seen == {Lake(uri).constants.author_key_check}


def test_of_writers_of_a_new_file_at_once_exactly_one_is_told_that_it_made_it(place: str) -> None:
    storage = Storage(f"{place}/files")
    with ThreadPoolExecutor(MAKERS) as pool:
        for race in turns(f"{MAKERS} writers of one new file", 3, 100):
            ready = threading.Barrier(MAKERS)

            def write(maker: int, path: str = f"new/{race}", ready: threading.Barrier = ready) -> tuple[bool, int]:
                ready.wait(60)
                return storage.write_new(path, str(maker).encode()), maker

            (winner,) = [maker for won, maker in pool.map(write, range(MAKERS)) if won]
            assert storage.read(f"new/{race}") == str(winner).encode()


def test_of_makers_of_a_table_at_once_one_wins_and_the_log_begins_once(place: str) -> None:
    where = "on S3" if place.startswith("s3") else "on disk"
    with ThreadPoolExecutor(MAKERS) as pool:
        for race in turns(f"{MAKERS} makers of a table {where}", 3, 300):
            storage = Storage(f"{place}/tables-{race}")
            ready = threading.Barrier(MAKERS)

            def make(_: int, storage: Storage = storage, ready: threading.Barrier = ready) -> int:
                ready.wait(60)
                return create_table(storage, MODELS).version

            assert {*pool.map(make, range(MAKERS))} == {0}
            assert open_snapshot(storage, MODELS).version == 0
