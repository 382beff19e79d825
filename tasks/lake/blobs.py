"""The bytes of attached files, each once, under their sha256."""

from __future__ import annotations

import hashlib

from tasks.lake.storage import DamagedFile, Storage

BLOBS = "blobs"


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
