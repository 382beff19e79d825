"""What pandas, csv and json write, in every usual way, is read back as what was written, record for record."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC as ZULU
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import AttachmentRef, Record, files, read
from tests.tasks.sources.reviews import MISSING, UTC

Row = dict[str, Any]

words = st.text("абвжщёЯЖabcXYZ ,;|\t\"'\n=+-@№«»—50.", max_size=25).filter(lambda text: text.strip() not in MISSING)
names = st.text("абвжщёЯЖabcXYZ _-", min_size=1, max_size=9).filter(lambda text: text.strip() not in ("", *MISSING))
times = st.integers(7 * 10**8, 4 * 10**9).map(
    lambda seconds: datetime.fromtimestamp(seconds, ZULU).replace(tzinfo=None)
)
files_ = st.lists(st.sampled_from(["фото/1.jpg", "b.ogg", "c d.png", "it's.jpg"]), max_size=3)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "created_at": times,
            "text": st.none() | words,
            "rating": st.none() | st.sampled_from([1.0, 2.5, 4.5, 5.0]),
            "author": st.none() | names,
            "course_id": st.none() | st.integers(-(10**9), 10**14),
            "updated_at": st.none() | times,
        }
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: [{**row, "review_id": f"r{n}"} for n, row in enumerate(rows)])


def meant(row: Row) -> tuple[Any, ...]:
    return (
        row["review_id"], row["text"] or None, row["created_at"].replace(tzinfo=ZULU), row["rating"], row["author"],
        None if row["course_id"] is None else str(row["course_id"]),
        row["updated_at"] and row["updated_at"].replace(tzinfo=ZULU),
    )  # fmt: skip


def found_in(path: Path, **how: Any) -> list[tuple[Any, ...]]:
    (file,) = files(path)
    return [
        (one.review_id, one.text, one.created_at, one.rating, one.author, one.course_id, one.updated_at)
        if isinstance(one, Record) else (one.reason,)
        for one in read(file, mapping={}, timezone=UTC, **how)
    ]  # fmt: skip


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for column in ("created_at", "updated_at"):
        table[column] = pd.to_datetime(table[column])
    return table


CSV: dict[str, Mapping[str, Any]] = {
    "plain": {}, "index": {"index": True}, "semicolons": {"sep": ";", "decimal": ","}, "tabs": {"sep": "\t"},
    "bars": {"sep": "|"}, "quoted": {"quoting": csv.QUOTE_ALL}, "nonnumeric": {"quoting": csv.QUOTE_NONNUMERIC},
    "nan": {"na_rep": "nan"}, "null": {"na_rep": "NULL"}, "copy": {"na_rep": "\\N", "sep": "\t"},
    "excel": {"sep": ";", "encoding": "utf-8-sig", "lineterminator": "\r\n", "date_format": "%d.%m.%Y %H:%M:%S"},
    "cp1251": {"encoding": "cp1251", "sep": ";"}, "utf-16": {"encoding": "utf-16", "sep": "\t"},
    "koi8-r": {"encoding": "koi8-r", "errors": "ignore"}, "old Mac": {"lineterminator": "\r"},
}  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(rows=tables, how=st.sampled_from(sorted(CSV)), packed=st.sampled_from(["", ".gz", ".bz2"]))
@example(  # its bytes are one character of UTF-8
    rows=[
        dict.fromkeys(("text", "rating", "course_id", "updated_at"))
        | {"review_id": "r0", "created_at": datetime.fromisoformat("2026-03-07"), "author": "Жё"}
    ],
    how="cp1251",
    packed="",
)
def test_csv_of_pandas(tmp_path_factory: pytest.TempPathFactory, rows: list[Row], how: str, packed: str) -> None:
    options: dict[str, Any] = {"index": False, **CSV[how]}
    path = tmp_path_factory.mktemp("csv") / f"a.csv{packed}"
    with warnings.catch_warnings(action="ignore"):  # that packed UTF-16 has no mark
        frame(rows).to_csv(path, **options)
    if how == "koi8-r":  # which lacks these
        lost = str.maketrans("", "", "№«»—")
        rows = [{k: v.translate(lost) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    said = options.get("encoding")
    assert found_in(path, encoding=said if said in ("cp1251", "koi8-r") else None) == [meant(row) for row in rows]


@settings(max_examples=20, deadline=None)
@given(
    rows=tables, lines=st.booleans(), ascii_only=st.booleans(), indent=st.sampled_from([0, 2]),
    packed=st.sampled_from(["", ".gz", ".zst"]), unit=st.sampled_from(["s", "ms", "us", "ns"]), epoch=st.booleans(),
)  # fmt: skip
def test_json_of_pandas(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], lines: bool, ascii_only: bool, indent: int, packed: str,
    unit: Any, epoch: bool,
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("json") / f"a.json{packed}"
    how: dict[str, Any] = {
        "lines": lines,
        "force_ascii": ascii_only,
        "indent": 0 if lines else indent,
        "date_unit": unit,
    }
    how["date_format"] = "epoch" if epoch else "iso"
    with warnings.catch_warnings(action="ignore"):  # pandas 3 still writes epochs, and says that it will not for ever
        data = frame(rows).to_json(None, orient="records", **how).encode()
    if packed == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    elif packed:
        import gzip

        data = gzip.compress(data)
    path.write_bytes(data)
    assert found_in(path, dates="epoch" if epoch else "iso") == [meant(row) for row in rows]


@settings(max_examples=20, deadline=None)
@given(
    rows=tables, categories=st.booleans(), nullable=st.booleans(), index=st.booleans(), zone=st.booleans(),
    compression=st.sampled_from(["snappy", "gzip", "zstd", None]),
)  # fmt: skip
def test_parquet_of_pandas(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], categories: bool, nullable: bool, index: bool,
    zone: bool, compression: Any,
) -> None:  # fmt: skip
    table = frame(rows)
    if nullable:
        table = table.convert_dtypes()
    if categories:
        table = table.astype({"author": "category", "course_id": "category", "text": "category"})
    if zone:
        table["created_at"] = table["created_at"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    if index:
        table.index = pd.Index(range(5, 5 + len(table)))
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    table.to_parquet(path, compression=compression)
    assert found_in(path) == [meant(row) for row in rows]


@settings(max_examples=4, deadline=None)
@given(rows=tables, index=st.booleans(), dates=st.sampled_from(["cells", "text"]))
def test_workbooks_of_pandas(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], index: bool, dates: str
) -> None:
    table = frame(rows)
    if dates == "text":
        table["created_at"] = table["created_at"].dt.strftime("%d.%m.%Y %H:%M:%S")
    path = tmp_path_factory.mktemp("xlsx") / "a.xlsx"
    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with pd.ExcelWriter(path, engine="xlsxwriter", engine_kwargs={"options": options}) as writer:
        table.to_excel(writer, index=index)
    assert found_in(path) == [meant(row) for row in rows]


MARK = "\ufeff".encode()
plain = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
COLUMNS = ("review_id", "created_at", "text", "rating", "author", "course_id", "updated_at", "attachments", "other")


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.sampled_from(COLUMNS), values, min_size=1), max_size=6),
    shape=st.sampled_from(["lines", "array", "indented", "spread"]), ascii_only=st.booleans(),
    mark=st.sampled_from(["", "\ufeff", "\ufeff\ufeff"]), encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16"]),
    tail=st.sampled_from(["", "\n", "\r\n\r\n"]),
)  # fmt: skip
def test_every_json_record_is_one_record_whatever_it_holds(
    tmp_path_factory: pytest.TempPathFactory, records: list[Row], shape: str, ascii_only: bool, mark: str,
    encoding: str, tail: str,
) -> None:  # fmt: skip
    records = [{"review_id": "first", "text": "Первый", "created_at": "2026-03-01"}, *records]
    dump: Callable[..., str] = lambda value, **how: json.dumps(value, ensure_ascii=ascii_only, **how)  # noqa: E731
    data = {
        "lines": lambda: "\n".join(map(dump, records)), "array": lambda: dump(records),
        "indented": lambda: dump(records, indent=2),
        "spread": lambda: "\n".join(dump(one, indent=1) for one in records),
    }[shape]()  # fmt: skip
    path = tmp_path_factory.getbasetemp() / "a.json"
    path.write_bytes((mark + data + tail).encode(encoding))
    found = list(read(files(path)[0], mapping={}, timezone=UTC))
    assert [_key(json.loads(one.raw.removeprefix(MARK))) for one in found] == [_key(one) for one in records]
    assert len({one.offset for one in found}) == len(records)
    for one, record in zip(found, records, strict=True):
        if isinstance(one, Record):
            assert one.review_id == _id(record["review_id"])


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _id(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and not math.isnan(value) else str(value)


@pytest.mark.parametrize("written", ["json", "python", "names", "one", "parquet", "parquet names", "records"])
def test_attached_files_are_found_in_every_way_that_they_are_written(tmp_path: Path, written: str) -> None:
    uris = [["a.jpg", "it's.ogg"], ["фото/1.jpg"], []]
    listed = [[{"kind": "image", "uri": uri} for uri in some] for some in uris]
    table = pd.DataFrame({"review_id": ["a", "b", "c"], "created_at": "2026-03-01", "text": "Текст"})
    kind = "other" if written in ("names", "one", "parquet names") else "image"
    match written:
        case "json":
            table["attachments"] = [json.dumps(some) for some in listed]
        case "python" | "records":
            table["attachments"] = pd.Series(listed)
        case "one":
            uris = [some[:1] for some in uris]
            table["attachments"] = [some[0] if some else None for some in uris]
        case "names" | "parquet names":
            table["attachments"] = pd.Series(uris)
        case "parquet":
            table["attachments"] = [json.dumps(some) for some in listed]
    path = tmp_path / ("a.parquet" if "parquet" in written else "a.jsonl" if written == "records" else "a.csv")
    if written == "records":
        table.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table), path)
    else:
        table.to_csv(path)
    found = [one for one in read(files(path)[0], mapping={}, timezone=UTC) if isinstance(one, Record)]
    assert [one.attachments for one in found] == [tuple(AttachmentRef(kind, uri) for uri in some) for some in uris]


def test_what_folders_are_named_fills_what_records_lack(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"id": [1, 2], "text": ["Раз", "Два"], "source": ["stepik", "и др/1"], "day": ["2026-03-01"] * 2}
    )
    table.to_parquet(tmp_path / "by", partition_cols=["source", "day"])
    mapping = {"review_id": "id", "created_at": "day"}
    found = [one for file in files(tmp_path / "by") for one in read(file, mapping=mapping, timezone=ZoneInfo("UTC"))]
    read_back = sorted((one.review_id, one.source, one.created_at) for one in found if isinstance(one, Record))
    assert read_back == [
        ("1", "stepik", datetime(2026, 3, 1, tzinfo=ZULU)),
        ("2", "и др/1", datetime(2026, 3, 1, tzinfo=ZULU)),
    ]
    folder = tmp_path / "x" / "source=otzovik" / "course_id=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    rows = [
        {"review_id": "a", "created_at": "2026-03-01", "source": "own"},
        {"review_id": "b", "created_at": "2026-03-01"},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = [one for file in files(tmp_path / "x") for one in read(file, mapping={}, timezone=UTC)]
    assert [(one.source, one.course_id) for one in found if isinstance(one, Record)] == [
        ("own", None),
        ("otzovik", None),
    ]
