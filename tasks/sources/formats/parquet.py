"""Parquet, read by small batches of the columns that are needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from otzyv.tasks.sources.format import Asked, Format, Row
from otzyv.tasks.sources.reasons import SourceError
from otzyv.tasks.sources.values import MAX_ATTACHMENTS

BATCH_ROWS = 1024
BATCH_BYTES = 64 * 2**20
"""A batch has fewer rows where it would hold more than this."""
HELD_BYTES = 32 * 2**20
"""A file up to this size is held a row group's column at a time, a larger one is buffered a page at a time."""

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a zone is added where the column has one


def rows(stream: BinaryIO, asked: Asked) -> Iterator[Row]:
    """Every row, by its number from 0, as canonical JSON under the source's names.

    Text that is not UTF-8 comes with surrogate escapes, which no valid text holds. Timestamps without a zone come
    naive, nanoseconds are cut to microseconds; one that no datetime can hold comes as its number of microseconds.
    Raises SourceError if the file is not sound Parquet (perhaps after the rows before the fault), or if a column's
    type can't be what ours is.
    """
    try:
        file = _open(stream)
        chosen = asked.columns(file.schema_arrow.names)
        for ours, theirs in chosen.items():
            fits, wanted = _FITTING[ours]
            found = file.schema_arrow.field(theirs).type
            if not pa.types.is_null(found) and not fits(_value_type(found)):
                raise SourceError(f"{asked.name}: column {theirs!r} is {found}; for {ours} it must be {wanted}")
        seen, layout = 0, {"columns": asked.looked_for}
        for batch in _batches(file, stream, list(chosen.values())):
            columns = {ours: (theirs, batch.column(theirs)) for ours, theirs in chosen.items()}
            for number, (raw, values) in enumerate(_rows(columns), seen):
                yield Row(number, raw, values, layout=layout)
            seen += len(batch)
        if seen != file.metadata.num_rows:
            raise ValueError("fewer rows than the footer says")
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the machine's fault, not the file's
            raise
        raise SourceError(f"{asked.name} is not sound Parquet; write it again, or as JSONL or CSV") from None


def _open(stream: BinaryIO, **how: Any) -> pq.ParquetFile:
    size = stream.seek(0, 2)
    return pq.ParquetFile(
        stream,
        pre_buffer=False,
        # a buffer grows to whatever size a page claims to have; a small file is held instead, as far as it is needed
        buffer_size=0 if size <= HELD_BYTES else 2**20,
        coerce_int96_timestamp_unit="us",
        page_checksum_verification=True,
        **how,
    )


def _batches(file: pq.ParquetFile, stream: BinaryIO, columns: list[str]) -> Iterator[pa.RecordBatch]:
    metadata = file.metadata
    leaves = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    texts = [leaf for leaf in leaves if leaf.split(".")[0] in columns]
    coded = _open(stream, metadata=metadata, read_dictionary=texts)
    for group in range(metadata.num_row_groups):
        about = metadata.row_group(group)
        mean = about.total_byte_size // max(about.num_rows, 1)
        # a value of a dictionary may stand in every row: 200 kB of file can be gigabytes of rows
        first = next(coded.iter_batches(1, row_groups=[group], columns=columns, use_threads=False), None)
        longest = max((_longest(column) for column in first.columns), default=0) if first else 0
        size = min(max(BATCH_BYTES // max(longest, mean, 1), 1), BATCH_ROWS)
        yield from file.iter_batches(size, row_groups=[group], columns=columns, use_threads=False)


def _longest(array: pa.Array) -> int:
    """Bytes of the longest value in the dictionaries of ``array``, nested ones too."""
    if pa.types.is_dictionary(array.type):
        return _longest_value(array.dictionary)
    if pa.types.is_struct(array.type):
        return max((_longest(array.field(i)) for i in range(array.type.num_fields)), default=0)
    return _longest(array.values) if _is_list(array.type) else 0


def _longest_value(array: pa.Array) -> int:
    return pc.max(pc.binary_length(array.cast(pa.large_binary()))).as_py() or 0


def _rows(columns: Mapping[str, tuple[str, pa.Array]]) -> Iterator[tuple[bytes, dict[str, object]]]:
    names = {ours: theirs for ours, (theirs, _) in columns.items()}
    values = (_values(ours, array) for ours, (_, array) in columns.items())
    for row in zip(*values, strict=True):
        ours = dict(zip(columns, row, strict=True))
        received = {names[column]: value for column, value in ours.items() if value is not None}
        yield _canonical(received).encode("utf-8", "surrogateescape"), ours


def _written(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else datetime.isoformat(value)  # type: ignore[arg-type]


_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_written).encode


def _values(column: str, array: pa.Array) -> list[Any]:
    if pa.types.is_null(array.type):
        return [None] * len(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        return _texts(array)
    if column == "attachments":
        return _lists(array)
    if pa.types.is_temporal(array.type):
        return _times(array)
    if column == "rating":
        return _checked(array.cast(pa.float64(), safe=False))
    return _uuids(array) if _is_uuid(array.type) else _checked(array)


def _uuids(array: pa.Array) -> list[str | None]:
    stored = array.storage if isinstance(array, pa.ExtensionArray) else array
    return [value and str(UUID(bytes=value)) for value in _checked(stored)]


def _checked(array: pa.Array) -> list[Any]:
    array.validate(full=True)
    values: list[Any] = array.to_pylist()
    return values


def _texts(array: pa.Array) -> list[str | None]:
    # as bytes: text that is not UTF-8 would fail its whole column, not only its row
    return [_decoded(value) for value in _checked(array.cast(pa.large_binary()))]


def _decoded(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")


def _lists(array: pa.Array) -> list[Any]:
    # a list too long is cut to one that is still too long: run lengths make millions of items of a few bytes
    short = pc.list_slice(array, 0, MAX_ATTACHMENTS + 1, return_fixed_size_list=False)
    if _is_text(_value_type(short.type.value_type)):
        return [
            value and [_decoded(item) for item in value] for value in _checked(short.cast(pa.list_(pa.large_binary())))
        ]
    return [
        value and [item and {name: _decoded(part) for name, part in item.items()} for item in value]
        for value in _checked(short.cast(_ATTACHMENTS))
    ]


def _times(array: pa.Array) -> list[datetime | int | None]:
    if pa.types.is_date32(array.type):
        return [None if days is None else _moment(days * 86_400_000_000) for days in _checked(array.cast(pa.int32()))]
    unit = "ms" if pa.types.is_date64(array.type) else array.type.unit
    zone = UTC if getattr(array.type, "tz", None) else None
    counts = _checked(array.cast(pa.int64()))
    if unit == "ns":
        counts = [count and count // 1000 for count in counts]
    return [None if count is None else _moment(count * _MICROSECONDS[unit], zone) for count in counts]


_MICROSECONDS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}


def _moment(microseconds: int, zone: tzinfo | None = None) -> datetime | int:
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=zone)
    except OverflowError:
        return microseconds


def _is_list(type: pa.DataType) -> bool:
    return any(is_one(type) for is_one in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _value_type(type: pa.DataType) -> pa.DataType:
    """Of a dictionary (pandas: a categorical) that of its values."""
    return type.value_type if pa.types.is_dictionary(type) else type


def _is_text(type: pa.DataType) -> bool:
    texts = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,  # as older Spark writes text
    )  # fmt: skip
    return any(is_one(type) for is_one in texts)


def _is_time(type: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type) or pa.types.is_date(type)) or _is_text(type) or _is_number(type)


def _is_number(type: pa.DataType) -> bool:
    return any(is_one(type) for is_one in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _is_rating(type: pa.DataType) -> bool:
    return _is_number(type) or _is_text(type)


def _is_attachments(type: pa.DataType) -> bool:
    if not _is_list(type):
        return _is_text(type)
    item = _value_type(type.value_type)
    if not pa.types.is_struct(item):
        return bool(pa.types.is_null(item)) or _is_text(item)  # null: no row has an attachment
    fields = {item.field(i).name: _value_type(item.field(i).type) for i in range(item.num_fields)}
    return "uri" in fields and all(
        _is_text(fields[name]) or pa.types.is_null(fields[name]) for name in ("kind", "uri") if name in fields
    )


def _is_uuid(type: pa.DataType) -> bool:
    return getattr(type, "extension_name", None) == "arrow.uuid"


def _is_id(type: pa.DataType) -> bool:
    return _is_text(type) or _is_number(type) or _is_uuid(type)


_ATTACHMENTS = pa.list_(pa.struct([("kind", pa.large_binary()), ("uri", pa.large_binary())]))
_TEXT, _ID = (_is_text, "text"), (_is_id, "text or numbers")
_TIME = (_is_time, "a timestamp, a date, text or numbers")
_FITTING: Mapping[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "review_id": _ID, "text": _TEXT, "created_at": _TIME, "rating": (_is_rating, "numbers or text"), "author": _ID,
    "course_id": _ID, "course_title": _TEXT, "updated_at": _TIME, "source": _TEXT,
    "attachments": (_is_attachments, "a list of {kind: text, uri: text}, a list of text, or text"),
}  # fmt: skip
"""What the type of a column must be, by our name."""

FORMAT = Format("Parquet", (".parquet",), rows, text=False, seeks=True)
