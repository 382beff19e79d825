"""The weights a lake's rows are made with: recorded in ``models`` at first use, and held to by every worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import MODELS
from otzyv.tasks.lake.delta.publish import commit_rows
from otzyv.tasks.lake.delta.snapshot import Snapshot, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import Storage


@dataclass(frozen=True, slots=True)
class LakeWeights:
    """Where an extractor's weights are from, and the sha256 (64 hex digits) of each of their files by its name."""

    source: str
    revision: str
    files: Mapping[str, str]


def recorded(storage: Storage, name: str) -> LakeWeights | None:
    """The weights on record for an extractor, None where it has made nothing yet."""
    known, _ = _newest(storage, open_snapshot(storage, MODELS), name)
    return known


def record(storage: Storage, name: str, weights: LakeWeights, accepted: Callable[[LakeWeights], bool]) -> LakeWeights:
    """Put weights on record, unless some that are ``accepted`` are already; returns those to hold to.

    Of two workers at once one wins, and both are given the same.
    """
    while True:
        snapshot = open_snapshot(storage, MODELS)
        known, version = _newest(storage, snapshot, name)
        if known is not None and accepted(known):
            return known
        row = {
            "name": name,
            "version": version + 1,
            "sha256": _digest(weights),
            "fitted_on": json.dumps(asdict(weights), ensure_ascii=False, sort_keys=True),
            "state": "current",
            "created_at": datetime.now(UTC),
        }
        if commit_rows(storage, snapshot, pa.Table.from_pylist([row], schema=MODELS.arrow)):
            return weights


def _newest(storage: Storage, snapshot: Snapshot, name: str) -> tuple[LakeWeights | None, int]:
    """The newest record and its version, 0 where there is none."""
    rows = read_table(storage, MODELS, snapshot.files)
    rows = rows.filter(pc.equal(rows["name"], name)).to_pylist()
    if not rows:
        return None, 0
    newest = max(rows, key=lambda row: int(row["version"]))
    return LakeWeights(**json.loads(newest["fitted_on"])), int(newest["version"])


def _digest(weights: LakeWeights) -> str:
    """The file's own sha256 where there is one file, else that of the list ``sha256sum`` would print."""
    if len(weights.files) == 1:
        return next(iter(weights.files.values()))
    told = "".join(f"{sha256}  {file}\n" for file, sha256 in sorted(weights.files.items()))
    return hashlib.sha256(told.encode()).hexdigest()
