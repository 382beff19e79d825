"""The bytes of attached files, each once, under their sha256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.lake.storage import Storage


def blob_path(sha256: str) -> str:
    """Where a blob lies, relative to the lake."""
    return f"blobs/{sha256[:2]}/{sha256}"


def put_blob(storage: Storage, source: Path, sha256: str) -> None:
    """Copy a file into the lake unless its bytes are there already.

    Raises ValueError if the file's bytes are not those of ``sha256`` (it changed while it was read).
    """
    path = blob_path(sha256)
    if storage.size(path) is not None:
        return
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{source.name} changed while it was read: run the ingest again")
    storage.write(path, data)
