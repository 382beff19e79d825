"""The bytes of attached files, each once, under their sha256."""

from __future__ import annotations

from tasks.lake.storage import Storage


def blob_path(sha256: str) -> str:
    """Where a blob lies, relative to the lake."""
    return f"blobs/{sha256[:2]}/{sha256}"


def put_blob(storage: Storage, data: bytes, sha256: str) -> None:
    """Keep a file's bytes, unless they are there already."""
    path = blob_path(sha256)
    if storage.size(path) != len(data):
        storage.write(path, data)
