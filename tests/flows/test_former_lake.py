"""A lake that a former otzyv made, whose tables lack columns that were added since, goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import commit, write_file
from tests.flows.command import Otzyv, command, review

pytestmark = pytest.mark.usefixtures("without_prefect")

ADDED = ("reason", "uri")
"""Columns of ``attachments`` that a former otzyv did not know."""
DAYS = ("2026-03-01", "2026-03-02")


def lessen(lake: Lake, table: Table, added: tuple[str, ...]) -> None:
    """Make the table as if it had been written before these columns were added."""
    former = replace(table, columns=tuple(column for column in table.columns if column.name not in added))
    kept = {day: lake.read(table, day).select(former.names) for day in lake.snapshot(table).days}
    shutil.rmtree(lake.storage.root / table.name)
    for day, rows in kept.items():
        file = write_file(lake.storage, former, day, rows)
        assert file is not None
        assert commit(lake.storage, lake.snapshot(former), [day], [file]) == "published"


def test_a_lake_without_the_columns_that_were_added_goes_on(otzyv: Otzyv, tmp_path: Path) -> None:
    (otzyv.source / "1.png").write_bytes(image("PNG", seed=1))
    attached = [{"kind": "image", "uri": "1.png"}, {"kind": "image", "uri": "none.png"}]
    first = [review(f"r{n}", f"Курс номер {n}", day=DAYS[n % 2], attachments=attached) for n in range(4)]
    source = otzyv.write("a.jsonl", first)
    assert command("ingest", "--source", source, "--lake", otzyv.lake).exit_code == 0
    lessen(otzyv.opened(), ATTACHMENTS, ADDED)
    made = command("features", "--lake", otzyv.lake, "--extractors", "sentiment_mini,image_pixels",
                   "--from", DAYS[0], "--to", DAYS[1])  # fmt: skip
    assert made.exit_code == 0, made.stderr
    tables = "reviews,attachments,image_pixels"
    (former,) = otzyv.opened().snapshot(ATTACHMENTS).of(date(2026, 3, 2))

    seen = otzyv.opened().frame(None, tables.split(","), "arrow")
    assert seen.num_rows == 4
    assert seen["attachments.reason"].to_pylist() == [[None, None]] * 4
    assert command("doctor", "--lake", otzyv.lake, "--deep").stdout == "Nothing is wrong.\n"
    assert command("maintain", "--lake", otzyv.lake).exit_code == 0
    assert command("export", "--lake", otzyv.lake, "--tables", tables, "--out", tmp_path / "a.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 4

    otzyv.write("a.jsonl", [first[0] | {"updated_at": "2026-04-01"}])
    otzyv.run(extractors="sentiment_mini,image_pixels")
    assert former in otzyv.opened().snapshot(ATTACHMENTS).files, "a day that did not change is not written again"
    reasons = {r["review_id"]: r["reason"] for r in otzyv.opened().read(ATTACHMENTS).to_pylist() if r["position"]}
    assert reasons == {"r0": "not found", "r1": None, "r2": None, "r3": None}
    said = json.loads(command("forget", "--review", "r1", "--lake", otzyv.lake, "--json", "--yes").stdout)
    assert said["reviews"] == 1
    assert sorted(otzyv.opened().frame(None, tables.split(","))["review_id"]) == ["r0", "r2", "r3"]
    assert sorted(otzyv.opened().read(REVIEWS)["review_id"].to_pylist()) == ["r0", "r2", "r3"]
    assert former not in otzyv.opened().snapshot(ATTACHMENTS).files
    assert command("doctor", "--lake", otzyv.lake, "--deep").stdout == "Nothing is wrong.\n"
    assert command("maintain", "--lake", otzyv.lake).exit_code == 0
    assert otzyv.opened().frame(None, tables.split(",")).shape[0] == 3
