"""Attached files that no row names are told from those of an ingest that is at work."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.records.blobs import attaching, blob_path, nobody_attaching, put_blob
from otzyv.tasks.pipeline.forget import forget

KEY = "a key of tests"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path / "lake")
    put(made.storage)
    return made


def put(storage: Storage) -> str:
    sha256 = hashlib.sha256(b"a photo").hexdigest()
    put_blob(storage, b"a photo", sha256)
    return blob_path(sha256)


def test_a_file_that_no_row_names_goes_but_not_while_an_ingest_is_at_work(lake: Lake) -> None:
    with attaching(lake.storage):
        done = forget(lake.uri, KEY, review="nobody's")
        assert (done.blobs, done.ingesting, lake.storage.exists(put(lake.storage))) == (0, True, True)
    done = forget(lake.uri, KEY, review="nobody's")
    assert (done.blobs, done.ingesting, done.known, done.new) == (1, False, False, False)
    assert lake.storage.files("blobs", recursive=True) == []
    assert lake.storage.files("suppressed") == [], "a stranger is not barred"


def test_an_ingest_that_was_killed_holds_nothing(lake: Lake) -> None:
    script = f"""if True:
        import sys, time
        from otzyv.tasks.lake.records.blobs import attaching
        from otzyv.tasks.lake.delta.storage import Storage
        with attaching(Storage({lake.uri!r})):
            print("at work", flush=True)
            time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as ingest:
        assert ingest.stdout is not None
        assert ingest.stdout.readline() == b"at work\n"
        with nobody_attaching(lake.storage) as quiet:
            assert not quiet
        ingest.send_signal(signal.SIGKILL)
        ingest.wait()
    with nobody_attaching(lake.storage) as quiet:
        assert quiet


def test_an_ingest_that_begins_while_files_are_removed_waits(lake: Lake) -> None:
    begun = threading.Event()

    def ingest() -> None:
        with attaching(lake.storage):
            begun.set()

    with nobody_attaching(lake.storage) as quiet:
        assert quiet
        thread = threading.Thread(target=ingest)
        thread.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    thread.join()


def test_ingests_do_not_wait_for_one_another(lake: Lake) -> None:
    with attaching(lake.storage), attaching(lake.storage), nobody_attaching(lake.storage) as quiet:
        assert not quiet
