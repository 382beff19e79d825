"""Each refused record stands in quarantine once, however often its source is read."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from otzyv.schemas.tables import QUARANTINE
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.quarantine import quarantine


def refused(source: str, offsets: list[int], day: date) -> pa.Table:
    rows = [
        {"source": source, "offset": offset, "rule": "json", "reason": "not JSON", "raw": b"{", "day": day}
        | {"raw_sha256": f"{offset % 3:064x}"}
        for offset in offsets
    ]
    return pa.Table.from_pylist(rows, QUARANTINE.arrow)


def test_a_source_read_again_adds_nothing_and_one_that_grew_adds_what_is_new(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    first, later = date(2026, 3, 1), date(2026, 3, 2)
    assert quarantine(lake.storage, refused("a.jsonl", [0, 7, 7, 9], first)) == 3
    version = lake.snapshot(QUARANTINE).version
    assert quarantine(lake.storage, refused("a.jsonl", [9, 7, 0], later)) == 0
    assert lake.snapshot(QUARANTINE).version == version
    assert quarantine(lake.storage, refused("a.jsonl", [0, 7, 9, 12], later)) == 1
    assert quarantine(lake.storage, refused("b.jsonl", [0], later)) == 1
    keys = sorted((row["source"], row["offset"]) for row in lake.read(QUARANTINE).to_pylist())
    assert keys == [("a.jsonl", 0), ("a.jsonl", 7), ("a.jsonl", 9), ("a.jsonl", 12), ("b.jsonl", 0)]
