"""A Delta table as a source: the files of its current version, never those that lie there besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from otzyv.tasks.sources.reasons import SourceError

LOG = "_delta_log"
"""The folder that makes the folder around it a table."""
_READ = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
"""Features that change nothing in how a data file is read."""

Part = tuple[str, tuple[tuple[str, str], ...]]
"""A data file: its path below the table, and the values of the columns that the table is partitioned by."""


def is_table(folder: Path) -> bool:
    return (folder / LOG).is_dir() and not (folder / LOG).is_symlink()


def parts(folder: Path) -> Iterator[Part]:
    """The data files of the current version. Raises SourceError for a table that can't be opened, or that has rows or
    columns which its data files alone do not tell.
    """
    try:
        table = DeltaTable(folder)
        features = set(table.protocol().reader_features or ()) - _READ - {"deletionVectors", "columnMapping"}
        if "deletionVectors" in (table.protocol().reader_features or ()) and _has_deletions(table):
            features.add("deletion vectors")
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            features.add("column mapping")
        actions = pa.table(table.get_add_actions())
    except (DeltaError, TableNotFoundError, OSError, ValueError, pa.ArrowException):
        raise SourceError(f"{folder} has a {LOG} but is no sound Delta table; copy or write it again") from None
    if features:
        raise SourceError(
            f"{folder} is a Delta table with {', '.join(sorted(features))}, which can't be read here; write its rows "
            "to Parquet files, or to a table without"
        )
    kept = [name for name in ("path", "partition") if name in actions.column_names]
    actions = actions.select(kept)
    for action in actions.to_pylist():
        values = {name: value for name, value in (action.get("partition") or {}).items() if value is not None}
        yield unquote(action["path"]), tuple((name, str(value)) for name, value in values.items())


def _has_deletions(table: DeltaTable) -> bool:
    try:
        return bool(pa.table(table.deletion_vectors()).num_rows)
    except (DeltaError, OSError, ValueError):  # they are read at once, and one can't be
        return True
