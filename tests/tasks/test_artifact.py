"""What a run shows of its tables says why rows are not ok, and why attached files were not taken."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

from otzyv.tasks.artifact import _not_taken, markdown
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.pipeline.ingest import Source, ingest
from otzyv.tasks.pipeline.make import TableRun

DAY = date(2026, 3, 1)
KEY = "a key made up for tests"


def test_statuses_are_told_in_words_and_files_that_were_not_taken_with_their_reasons(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", LakeConfig(author_key_check=key_check(KEY)))
    uris = ["gone.png", "also-gone.png", "/etc/passwd.png", "https://here.example/a.png"]
    records = [
        {"review_id": f"r{n}", "created_at": f"{DAY}T10:00:00Z", "attachments": [{"kind": "image", "uri": uri}]}
        for n, uri in enumerate(uris)
    ]
    source = tmp_path / "day.jsonl"
    source.write_text("\n".join(map(json.dumps, records)))
    ingest(lake.uri, Source(str(source)), KEY)
    why = _not_taken(lake, [DAY])
    assert why == {
        "image, missing: not found": 2,
        "image, unsupported: an absolute path": 1,
        "image, unsupported: a URL": 1,
    }
    run = TableRun("image_pixels", DAY, "published", datetime.now(UTC), status={"ok": 1, "missing": 2, "timeout": 1})
    said = markdown([run], why).splitlines()
    assert "What statuses mean: missing: not found; timeout: took too long." in said
    assert "- 2 image, missing: not found" in said
    assert "- 1 image, unsupported: a URL" in said
    assert "Attached files" not in markdown([run])
