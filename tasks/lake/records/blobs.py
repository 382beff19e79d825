"""The bytes of attached files, each once, under their sha256."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from otzyv.tasks.lake.delta.storage import DamagedFile, Storage

BLOBS = "blobs"
LOCK = "_locks/blobs"
"""Held, shared, by each ingest: what it has put, no row names until it commits. The system frees it of the dead."""


@contextmanager
def attaching(storage: Storage) -> Iterator[None]:
    """While blobs are put that no row names yet. Nothing is held on S3, and where the file system knows no locks."""
    with _locked(storage, fcntl.LOCK_SH):
        yield


@contextmanager
def nobody_attaching(storage: Storage, *, looking: bool = False) -> Iterator[bool]:
    """Whether nobody puts blobs; if so, who begins waits until this ends. False where that can't be told.

    ``looking``: nothing is written. Where no lock was ever made nobody has put any, and nobody waits.
    """
    if looking and not storage.remote and not storage.exists(LOCK):
        yield True
        return
    with _locked(storage, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        yield held


@contextmanager
def _locked(storage: Storage, how: int) -> Iterator[bool]:
    if storage.remote:
        yield False
        return
    storage.write_new(LOCK, b"")
    with (storage.root / LOCK).open("rb") as file:
        held = False
        with suppress(OSError):
            fcntl.flock(file, how)
            held = True
        yield held


def blob_path(sha256: str) -> str:
    """Where a blob lies, relative to the lake."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def put_blob(storage: Storage, data: bytes, sha256: str) -> None:
    """Keep a file's bytes, unless they are there already. They count as put now: maintenance removes old ones."""
    path = blob_path(sha256)
    if storage.size(path) != len(data) or not storage.touch(path):
        storage.write(path, data)


def read_blob(storage: Storage, sha256: str) -> bytes:
    """The bytes of that name. Raises DamagedFile if they are not those that were put there."""
    path = blob_path(sha256)
    data = storage.read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedFile(
            f"{storage.at(path)}: its {len(data)} bytes are not those that were written. Remove it, and ingest its "
            f"source again"
        )
    return data
