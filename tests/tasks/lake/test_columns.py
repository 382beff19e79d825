"""Nullable columns may be added to a table: a lake that a former otzyv made goes on. Nothing else may change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from otzyv.schemas.sample import sample
from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import ATTACHMENTS
from otzyv.tasks.lake.delta.publish import OtherColumns, append, commit, write_file
from otzyv.tasks.lake.delta.snapshot import CorruptFile, DataFile, Snapshot, WriteFailed, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import Storage

DAY = date(2026, 3, 1)
LATER = replace(
    ATTACHMENTS,
    columns=(
        *ATTACHMENTS.columns[:3],
        Column(name="said", type=pa.string(), required=False, doc="added later"),
        *ATTACHMENTS.columns[3:],
        Column(name="times", type=pa.int32(), required=False, doc="added later, too"),
    ),
)


def other(**changes: Any) -> Table:
    """``ATTACHMENTS`` with one more column, or with that column changed."""
    column = Column(name="said", type=pa.string(), required=False, doc="added")
    return replace(ATTACHMENTS, columns=(*ATTACHMENTS.columns, replace(column, **changes)))


def rows(table: Table, seed: int, day: date = DAY) -> pa.Table:
    made = sample(table, 5, seed)
    return made.set_column(made.column_names.index("day"), table.arrow.field("day"), pa.array([day] * 5, pa.date32()))


def staged(storage: Storage, table: Table, seed: int, day: date = DAY) -> list[DataFile]:
    file = write_file(storage, table, day, rows(table, seed, day))
    assert file is not None
    return [file]


def put(storage: Storage, table: Table, seed: int, day: date = DAY, before: Snapshot | None = None) -> str:
    return commit(storage, before or open_snapshot(storage, table), [day], staged(storage, table, seed, day))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "lake")


def test_rows_from_before_a_column_was_added_read_as_null_there(storage: Storage) -> None:
    put(storage, ATTACHMENTS, 1)
    before = open_snapshot(storage, LATER)
    nulls = [row | {"said": None, "times": None} for row in rows(ATTACHMENTS, 1).to_pylist()]
    key = ["review_id", "position"]
    assert read_table(storage, LATER, before.files).to_pylist() == [{n: row[n] for n in LATER.names} for row in nulls]
    assert read_table(storage, LATER, before.files, ["said"]).to_pylist() == [{"said": None}] * 5

    put(storage, LATER, 2, DAY + timedelta(1), before)
    now = open_snapshot(storage, LATER)
    assert now.version == before.version + 2, "the columns, then the rows"
    expected = nulls + rows(LATER, 2, DAY + timedelta(1)).to_pylist()
    assert sorted(read_table(storage, LATER, now.files).to_pylist(), key=str) == sorted(
        [{n: row[n] for n in LATER.names} for row in expected], key=str
    )
    delta = DeltaTable(storage.at("attachments"))
    assert {f.name: f for f in delta.schema().fields} == {f.name: f for f in Schema.from_arrow(LATER.arrow).fields}
    theirs = pa.table(delta.to_pyarrow_dataset().to_table()).sort_by([(name, "ascending") for name in key]).to_pylist()
    assert sorted(theirs, key=str) == sorted([{n: row[n] for n in theirs[0]} for row in expected], key=str)

    put(storage, LATER, 3)
    assert open_snapshot(storage, LATER).version == now.version + 1, "columns are added once"


def test_a_former_otzyv_goes_on_reading_and_writes_no_more(storage: Storage) -> None:
    put(storage, ATTACHMENTS, 1)
    put(storage, LATER, 2, DAY + timedelta(1))
    there = open_snapshot(storage, ATTACHMENTS)
    seen = read_table(storage, ATTACHMENTS, there.of(DAY + timedelta(1)))
    assert seen.equals(rows(LATER, 2, DAY + timedelta(1)).select(ATTACHMENTS.names))
    with pytest.raises(OtherColumns, match="differ in said, times: a lake that a newer otzyv has written to needs"):
        put(storage, ATTACHMENTS, 3)
    assert open_snapshot(storage, ATTACHMENTS).files == there.files


def test_a_slow_writer_of_before_cannot_replace_what_came_with_the_columns(storage: Storage) -> None:
    put(storage, ATTACHMENTS, 1)
    old = open_snapshot(storage, LATER)
    put(storage, LATER, 2)
    assert put(storage, LATER, 3, before=old) == "superseded"
    assert put(storage, LATER, 4, DAY + timedelta(1), before=old) == "published", "another day is as it was"
    assert read_table(storage, LATER, open_snapshot(storage, LATER).of(DAY)).equals(rows(LATER, 2))


def test_of_writers_that_all_add_the_columns_each_day_has_one_winner(storage: Storage) -> None:
    put(storage, ATTACHMENTS, 1)
    snapshot = open_snapshot(storage, LATER)
    days = [DAY, DAY, DAY, *(DAY + timedelta(n) for n in range(1, 4))]
    with ThreadPoolExecutor(len(days)) as pool:
        said = list(pool.map(lambda n: put(storage, LATER, n, days[n], snapshot), range(len(days))))
    assert sorted(said[:3]) == ["published", "superseded", "superseded"]
    assert said[3:] == ["published"] * 3
    now = open_snapshot(storage, LATER)
    assert read_table(storage, LATER, now.of(DAY)).equals(rows(LATER, said.index("published")))
    assert now.version == snapshot.version + 5, "the columns once, and four commits"


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(other(required=True), id="never null"),
        pytest.param(other(value=True), id="computed"),
        pytest.param(replace(ATTACHMENTS, columns=(*ATTACHMENTS.columns[:-2], ATTACHMENTS.columns[-1])), id="removed"),
        pytest.param(
            replace(
                ATTACHMENTS,
                columns=tuple(replace(c, type=pa.int32()) if c.name == "bytes" else c for c in ATTACHMENTS.columns),
            ),
            id="another type",
        ),
        pytest.param(
            replace(ATTACHMENTS, columns=tuple(replace(c, required=c.name != "position") for c in ATTACHMENTS.columns)),
            id="null or not",
        ),
    ],
)
def test_every_other_change_of_columns_is_refused(storage: Storage, table: Table) -> None:
    put(storage, ATTACHMENTS, 1)
    before, schema = open_snapshot(storage, ATTACHMENTS), DeltaTable(storage.at("attachments")).schema()
    for write in (lambda: put(storage, table, 2), lambda: append(storage, table, rows(table, 2), DAY)):
        with pytest.raises(OtherColumns, match="table 'attachments' in the lake has other columns"):
            write()
    assert open_snapshot(storage, ATTACHMENTS) == before
    assert DeltaTable(storage.at("attachments")).schema() == schema
    assert {path for path in storage.files("attachments", recursive=True) if path.endswith(".parquet")} == {
        file.path for file in before.files
    }


def test_a_file_without_a_column_that_is_never_null_is_damaged(storage: Storage) -> None:
    put(storage, ATTACHMENTS, 1)
    with pytest.raises(CorruptFile, match="it has no column 'said'"):
        read_table(storage, other(required=True), open_snapshot(storage, ATTACHMENTS).files)


def test_a_table_whose_columns_cannot_be_added_is_as_it_was(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    put(storage, ATTACHMENTS, 1)
    before = open_snapshot(storage, ATTACHMENTS)

    def full(*_: object, **__: object) -> None:
        raise DeltaError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("deltalake.table.TableAlterer.add_columns", full)
        with pytest.raises(WriteFailed, match="no space left"):
            put(storage, LATER, 2)
    assert open_snapshot(storage, ATTACHMENTS) == before
    assert put(storage, LATER, 2) == "published"
