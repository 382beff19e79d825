"""Answers of a paid API, kept from the moment they come until a day that holds them is published.

A file per answer, on disk before the answer is used, so that a crash costs no more than the request that was under way.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Container, Mapping, Sequence, Set
from contextlib import suppress

import numpy as np
import pyarrow as pa

from otzyv.tasks.lake.delta.storage import DamagedFile, Storage

FOLDER = "_journal"
KEPT = 30 * 24 * 3600.0
"""Seconds after which an answer goes that no published day has come to hold: its review was edited or withdrawn."""


class Journal:
    """Vectors by the sha256 of their text, for one table and fingerprint. Nothing is read before the first ``find``."""

    def __init__(self, storage: Storage, table: str, fingerprint: str) -> None:
        self._storage = storage
        self._folder = f"{FOLDER}/{table}/{fingerprint[:16]}"
        self._answers: dict[str, tuple[pa.ListArray, int]] | None = None

    def find(self, keys: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Those of the vectors that were paid for before, float32 (dim,)."""
        known = self._known()
        places = {key: known[key] for key in keys if key in known}
        return {key: vectors[row].values.to_numpy() for key, (vectors, row) in places.items()}

    def keys(self) -> Set[str]:
        """What was paid for and is in no published day yet."""
        return self._known().keys()

    def keep(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (n, dim) float32; once it returns they survive a crash and a loss of power."""
        offsets = pa.array(np.arange(len(keys) + 1, dtype=np.int32) * vectors.shape[1], pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel(), pa.float32()))
        batch = pa.record_batch({"content_sha256": pa.array(keys, pa.string()), "embedding": lists})
        path = f"{self._folder}/{uuid.uuid4().hex}-{{crc}}.arrow"
        with self._storage.create(path) as stream, pa.ipc.new_file(stream, batch.schema) as writer:
            writer.write_batch(batch)
        self._known().update({key: (lists, row) for row, key in enumerate(keys)})

    def clear(self, published: Container[str]) -> None:
        """Remove the files whose every text a published day now holds, and those too old. Never raises."""
        with suppress(OSError):
            for path, changed in self._storage.changed(self._folder).items():
                table = self._read(path)
                held = table is not None and all(key in published for key in table["content_sha256"].to_pylist())
                if held or time.time() - changed > KEPT:
                    self._storage.delete(path)
            self._storage.prune(self._folder.rpartition("/")[0])

    def _known(self) -> dict[str, tuple[pa.ListArray, int]]:
        if self._answers is None:
            self._answers = {}
            for path in self._storage.files(self._folder):
                table = self._read(path)
                if table is None:
                    continue
                vectors = table["embedding"].combine_chunks()
                self._answers.update(
                    {key: (vectors, row) for row, key in enumerate(table["content_sha256"].to_pylist())}
                )
        return self._answers

    def _read(self, path: str) -> pa.Table | None:
        """None where another run has removed the file; one that is damaged is removed: its answers are asked again."""
        try:
            return self._storage.arrow(path)
        except FileNotFoundError:
            return None
        except (DamagedFile, pa.ArrowInvalid):
            self._storage.delete(path)
            return None
