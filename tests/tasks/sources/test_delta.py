"""A Delta table as a source is its current version, not the files that lie in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from otzyv.tasks.sources import Record, SourceError, find, read
from tests.tasks.sources.reviews import UTC

ROWS = pa.table({
    "review_id": ["a", "b", "c"], "created_at": ["2026-03-01"] * 3, "text": ["Раз", "Два", "Три"],
    "source": ["stepik", "и др / = %", None],
})  # fmt: skip


def rows(path: Path) -> list[tuple[str, str | None, str | None]]:
    listing = find(path)
    assert not listing.aside
    found = [one for file in listing.files for one in read(file, mapping={}, timezone=UTC)]
    return sorted((one.review_id, one.text, one.source) for one in found if isinstance(one, Record))


@pytest.mark.parametrize("by", [None, ["source"]])
@pytest.mark.parametrize("below", ["", "inner/table"])
def test_the_current_version_is_read_whatever_lies_there(tmp_path: Path, by: list[str] | None, below: str) -> None:
    folder = tmp_path / "source" / below
    folder.mkdir(parents=True)
    write_deltalake(folder, ROWS, partition_by=by)
    write_deltalake(folder, ROWS, mode="append")
    write_deltalake(folder, ROWS.slice(0, 1), mode="append")
    write_deltalake(folder, ROWS, mode="overwrite")
    write_deltalake(folder, ROWS.slice(1, 1).set_column(0, "review_id", pa.array(["d"])), mode="append")
    DeltaTable(folder).delete("review_id = 'a'")
    DeltaTable(folder).create_checkpoint()
    wanted = DeltaTable(folder).to_pyarrow_table().select(["review_id", "text", "source"]).to_pylist()
    assert rows(tmp_path / "source") == sorted(tuple(row.values()) for row in wanted)
    assert len(wanted) == 3


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    log = folder / "_delta_log" / "00000000000000000000.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        change(action)
    log.write_text("\n".join(map(json.dumps, actions)))


def with_deletions(action: dict[str, Any]) -> None:
    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40}
    if "add" in action:
        action["add"]["deletionVector"] = {**vector, "cardinality": 1}
    with_feature("deletionVectors")(action)


def with_feature(name: str) -> Callable[[dict[str, Any]], None]:
    def change(action: dict[str, Any]) -> None:
        if "protocol" in action:
            features = {"readerFeatures": [name], "writerFeatures": [name]}
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}

    return change


def with_mapping(action: dict[str, Any]) -> None:
    if "metaData" in action:
        action["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"


def elsewhere(action: dict[str, Any]) -> None:
    if "add" in action:
        action["add"]["path"] = "../outside.parquet"


def gone(action: dict[str, Any]) -> None:
    if "add" in action:
        action["add"]["path"] = "gone.parquet"


@pytest.mark.parametrize(
    ("change", "what"),
    [(with_deletions, "deletion vectors"), (with_mapping, "column mapping|no sound"), (elsewhere, "lie elsewhere"),
     (gone, "lacks its file gone"), (with_feature("variantType-preview"), "variantType|no sound")],
)  # fmt: skip
def test_what_data_files_alone_do_not_tell_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    write_deltalake(tmp_path / "table", ROWS)
    changed(tmp_path / "table", change)
    with pytest.raises(SourceError, match=rf"table .*({what})"):
        find(tmp_path)


def test_a_table_that_only_allows_deletion_vectors_is_read(tmp_path: Path) -> None:
    write_deltalake(tmp_path, ROWS)
    changed(tmp_path, with_feature("deletionVectors"))
    assert len(rows(tmp_path)) == 3


def test_a_folder_with_a_log_that_is_none_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match="no sound Delta table"):
        find(tmp_path)
    (tmp_path / "_delta_log" / "00000000000000000000.json").write_text("{}")
    with pytest.raises(SourceError, match="no sound Delta table"):
        find(tmp_path)
