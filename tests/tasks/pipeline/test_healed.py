"""What was refused of a file leaves quarantine once the file holds it as it should be, and else stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otzyv.schemas.tables import QUARANTINE
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.ingest import Source

KEY = "a key made up for tests"


def line(review_id: str, rating: int = 5) -> str:
    said = {"review_id": review_id, "text": f"курс {review_id}", "created_at": "2026-03-01T12:00:00Z", "rating": rating}
    return json.dumps(said, ensure_ascii=False) + "\n"


WHOLE = line("a") + line("b") + line("c")
CUT = WHOLE[: len(WHOLE) - 30]


@pytest.mark.parametrize(
    ("then", "now", "left"),
    [
        (CUT, WHOLE, 0),
        (CUT, CUT, 1),
        (CUT, WHOLE[: len(WHOLE) - 10], 1),  # it grows: the longer part takes the place of the shorter one
        (CUT, line("a") + line("b") + line("c", 0), 1),  # whole, and refused for another reason
        (CUT, line("a") + line("b") + line("d"), 1),  # another file of the same name
        (CUT, line("a") + line("b"), 1),
        (line("a") + line("b", 0), line("a") + line("b"), 0),
        (line("a") + line("b", 0), line("b") + line("a"), 0),
        (line("a") + line("b", 0), line("a"), 1),
        (line("a") + line("b", 0), line("a") + line("b") + line("b", 0), 1),  # where it is now
    ],
)
def test_a_refused_record_goes_once_its_file_holds_it_as_it_should_be(
    tmp_path: Path, then: str, now: str, left: int
) -> None:
    lake = Lake.create(tmp_path / "lake")
    source = Source(str(tmp_path / "a.jsonl"), refused_share=1)
    for told in (then, now, now):
        Path(source.path).write_text(told)
        ingest.fn(lake.uri, source, KEY)
    assert lake.read(QUARANTINE).num_rows == left


def test_only_of_its_own_file(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    (tmp_path / "in").mkdir()
    source = Source(str(tmp_path / "in"), refused_share=1)
    (tmp_path / "in" / "a.jsonl").write_text(line("a") + line("b", 0))
    ingest.fn(lake.uri, source, KEY)
    (tmp_path / "in" / "b.jsonl").write_text(line("b"))
    ingest.fn(lake.uri, source, KEY)
    assert lake.read(QUARANTINE)["source"].to_pylist() == ["a.jsonl"]
