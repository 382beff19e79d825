"""Released rows as one file for other programs: Parquet, or CSV that a spreadsheet opens without harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from otzyv.schemas.errors import InvalidInput, NotFound
from otzyv.tasks.lake.lake import Lake

KINDS = (".parquet", ".csv")
_IDS = frozenset({"review_id", "course_id"})
_WORD = r"\A[-+@][\p{L}\p{N}_.:\-]*\z"


def export(lake: Lake, days: Sequence[date] | None, tables: Sequence[str], out: Path) -> int:
    """Write what ``Lake.frame`` would give into a file, day by day; returns the number of rows.

    The file appears whole, or not at all. Raises what ``Lake.frame`` raises, and ValueError for another kind of file, a
    folder that is not there, or one of the lake itself.
    """
    if out.suffix not in KINDS:
        raise InvalidInput(f"can't write {out.name}: its name has to end in {' or '.join(KINDS)}")
    if not out.parent.is_dir():
        raise InvalidInput(f"can't write {out}: there is no folder {out.parent}")
    if not lake.storage.remote and out.resolve().is_relative_to(lake.storage.root.resolve()):
        raise InvalidInput(
            f"can't write {out}: it would lie in the lake, where otzyv keeps its own files; name one outside"
        )
    frames = lake.frames(days, tables)  # a lake that may not be read is no fault of the file's folder
    part = out.with_name(f".{out.name}.{uuid4().hex}.part")
    try:
        rows = _write(frames, part, plain if out.suffix == ".csv" else lambda rows: rows, out.suffix)
        part.replace(out)
    except PermissionError as error:
        raise InvalidInput(f"can't write {out}: this user may not write in {out.parent}") from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def _write(frames: Iterable[pa.Table], path: Path, shape: Callable[[pa.Table], pa.Table], suffix: str) -> int:
    rows = 0
    with ExitStack() as stack:
        writer: Any = None
        for frame in map(shape, frames):
            if writer is None:
                opened = pq.ParquetWriter if suffix == ".parquet" else pv.CSVWriter
                writer = stack.enter_context(closing(opened(path, frame.schema)))
            writer.write_table(frame)
            rows += frame.num_rows
        if writer is None:
            raise NotFound("no day of those asked for is released; `otzyv releases` lists the days that are")
    return rows


def plain(rows: pa.Table) -> pa.Table:
    """Lists as JSON, and no text that a spreadsheet takes for a formula: ``'`` stands before = + - @ tab CR LF.

    Ids that are a word after their sign (``-1001234567890_17``) stay as they are, so that tables still join by them:
    such a word calls nothing.
    """
    columns = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        whole = column.combine_chunks()
        if pa.types.is_list(whole.type):
            columns[name] = _json(whole)
        elif pa.types.is_string(whole.type):
            safe = pc.replace_substring_regex(whole, r"^([=+\-@\t\r\n])", r"'\1")
            columns[name] = pc.if_else(pc.match_substring_regex(whole, _WORD), whole, safe) if name in _IDS else safe
        else:
            columns[name] = whole
    return pa.table(columns)


def _json(array: pa.Array) -> pa.Array:
    """Each value as JSON; numbers with the fewest digits that give them again. Null lists stay null."""
    if pa.types.is_list(array.type):
        inner = pc.fill_null(_json(array.flatten()), "null")
        counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
        offsets = pa.array([0, *counts.cumsum().tolist()], pa.int32())
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, inner), ",")
        text = pc.binary_join_element_wise("[", joined, "]", "")
        return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string()))
    if pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_boolean(array.type):
        return array.cast(pa.string())
    said = [
        None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in array.to_pylist()
    ]
    return pa.array(said, pa.string())
