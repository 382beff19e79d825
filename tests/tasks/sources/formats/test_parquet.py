"""Parquet: the same records as the same JSONL, row by row; a broken file is one error."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC as ZULU
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import AttachmentRef, Record, RejectedRecord, SourceError, files, read
from tests.tasks.sources.reviews import UTC, outcome, parquet, read_bytes

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(1991, 1, 1), datetime(2099, 12, 30), timezones=st.sampled_from(  # noqa: DTZ001
    [ZULU, timezone(timedelta(hours=3)), timezone(-timedelta(hours=9, minutes=30))]))  # fmt: skip
reviews = st.fixed_dictionaries(
    {
        "review_id": st.integers(1, 999).map(str),
        "created_at": moments,
        "updated_at": st.none() | moments,
        "text": st.none() | words,
        "rating": st.none() | st.floats(1, 5, width=32),
        "author": st.none() | words,
        "attachments": st.lists(
            st.fixed_dictionaries({"kind": st.sampled_from(["image", "audio"]), "uri": st.just("фото/1.jpg")}),
            max_size=3,
        ),
    }
)


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(row, default=datetime.isoformat).encode() for row in rows)


def digests(found: list[Record | RejectedRecord]) -> list[str]:
    return [one.sha256 for one in found if isinstance(one, Record)]


@settings(max_examples=40, deadline=None)
@given(st.lists(reviews, min_size=1, max_size=8), st.sampled_from([1, 3, 100]))
def test_a_record_means_the_same_in_parquet_and_in_jsonl(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], group: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    in_utc = [{k: v.astimezone(ZULU) if isinstance(v, datetime) else v for k, v in row.items()} for row in rows]
    found = read_bytes(folder, parquet(in_utc, row_group_size=group), ending=".parquet")
    same = read_bytes(folder, jsonl(rows))
    again = read_bytes(folder, b"\n".join(one.raw for one in found))  # what quarantine keeps can be replayed
    assert all(isinstance(one, Record) for one in found)
    assert [one.offset for one in found] == list(range(len(rows)))
    assert digests(found) == digests(same) == digests(again)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([1714564800_123456789], pa.timestamp("ns", "UTC")), datetime(2024, 5, 1, 12, 0, 0, 123456, ZULU)),
        (pa.array([1714564800], pa.timestamp("s", "Europe/Moscow")), datetime(2024, 5, 1, 12, tzinfo=ZULU)),
        (pa.array([1714564800_000], pa.timestamp("ms")), datetime(2024, 5, 1, 9, tzinfo=ZULU)),
        (pa.array([date(2024, 5, 1)], pa.date32()), datetime(2024, 4, 30, 21, tzinfo=ZULU)),
        (pa.array([date(2024, 5, 1)], pa.date64()), datetime(2024, 4, 30, 21, tzinfo=ZULU)),
        (pa.array(["2024-05-01"]).dictionary_encode(), datetime(2024, 4, 30, 21, tzinfo=ZULU)),
        (pa.array([2**62], pa.timestamp("ms", "UTC")), "timestamp"),
        (pa.array([-(2**62)], pa.timestamp("ns", "UTC")), "timestamp"),
        (pa.array([None], pa.timestamp("us", "UTC")), "missing_field"),
        (pa.nulls(1), "missing_field"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)  # fmt: skip
def test_native_times(tmp_path: Path, times: pa.Array, expected: datetime | str) -> None:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"review_id": ["r1"], "text": ["Текст"], "created_at": times}), path)
    (found,) = read(files(path)[0], mapping={}, timezone=ZoneInfo("Europe/Moscow"))
    assert expected == (found.created_at if isinstance(found, Record) else found.rule)


def test_types_that_mean_the_same_are_read_the_same(tmp_path: Path) -> None:
    items = [{"uri": "a.jpg", "more": 1}]
    tables = [
        {"review_id": pa.array([7], pa.uint16()), "rating": pa.array([4], pa.int8()), "attachments": pa.array([items])},
        {"review_id": pa.array(["7"], pa.large_string()), "rating": pa.array([4.0], pa.float16()),
         "attachments": pa.array([items], pa.large_list(pa.struct([("uri", pa.string())])))},
        {"review_id": pa.array(["7"], pa.string_view()), "rating": pa.array([Decimal("4.00")]),
         "attachments": pa.array([items], pa.list_(pa.struct([("uri", pa.large_string())]), 1))},
    ]  # fmt: skip
    meanings = set()
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(table | {"created_at": ["2024-05-01"], "text": ["a"]}), path)
        (found,) = read(files(path)[0], mapping={}, timezone=UTC)
        assert isinstance(found, Record)
        assert found.attachments == (AttachmentRef("other", "a.jpg"),)
        meanings.add(found.sha256)
    assert len(meanings) == 1


def unchecked_text(*values: bytes) -> pa.Array:
    """A text column that holds bytes which are not UTF-8, as a careless writer leaves them."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


def test_a_row_that_is_not_utf8_is_refused_alone_and_its_bytes_are_kept(tmp_path: Path) -> None:
    texts = unchecked_text("Текст".encode(), b"\xd2\xe5\xea", "Ещё".encode(), b"")
    uris = pa.StructArray.from_arrays([unchecked_text(b"a", b"b", b"\xff", b"c")], ["uri"])
    table = pa.table({
        "review_id": ["a", "b", "c", "d"], "created_at": ["2024-05-01"] * 4, "text": texts,
        "attachments": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4], pa.int32()), uris),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "reviews.parquet")
    found = list(read(files(tmp_path)[0], mapping={}, timezone=UTC))
    assert [outcome(one) for one in found] == ["a", "encoding", "encoding", "d"]
    assert b"\xd2\xe5\xea" in found[1].raw


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("review_id", pa.array([True])), ("review_id", pa.array([["r1"]])), ("created_at", pa.array([True])),
        ("rating", pa.array([date(2024, 5, 1)])), ("text", pa.array([["a"]])), ("text", pa.array([5])),
        ("attachments", pa.array([5])), ("attachments", pa.array([[5]])), ("attachments", pa.array([[{"uri": 1}]])),
    ],
    ids=str,
)  # fmt: skip
def test_a_column_of_another_type_is_one_error_that_names_it(tmp_path: Path, column: str, values: pa.Array) -> None:
    good = {"review_id": ["r1"], "created_at": ["2024-05-01"], "text": ["a"]}
    pq.write_table(pa.table(good | {column: values}), tmp_path / "reviews.parquet")
    with pytest.raises(SourceError, match=rf"reviews\.parquet: column '{column}' is .* must be"):
        list(read(files(tmp_path)[0], mapping={}, timezone=UTC))


def test_columns_are_found_by_the_mapping_or_missed_by_name(tmp_path: Path) -> None:
    rows = [{"id": 1, "created_at": "2024-05-01", "body": "Текст"}]
    (found,) = read_bytes(tmp_path, parquet(rows), ending=".parquet", mapping={"review_id": "id", "text": "body"})
    assert isinstance(found, Record)
    assert (found.review_id, found.text) == ("1", "Текст")
    with pytest.raises(SourceError, match=r"named 'titel'.* course_title"):
        read_bytes(tmp_path, parquet(rows), ending=".parquet", mapping={"review_id": "id", "course_title": "titel"})


def test_a_value_repeated_by_its_dictionary_does_not_fill_the_memory(tmp_path: Path) -> None:
    count, text = 2000, "я" * 1_000_000
    one = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))
    many = pa.array([[{"uri": "a"}] * 1_000_000] + [None] * (count - 1))
    ids = [f"r{number}" for number in range(count)]
    table = pa.table({"review_id": ids, "created_at": ["2024-05-01"] * count, "text": one, "attachments": many})
    pq.write_table(table, tmp_path / "reviews.parquet", store_schema=False, dictionary_pagesize_limit=2**24)
    assert (tmp_path / "reviews.parquet").stat().st_size < 2**21
    before, highest = pa.total_allocated_bytes(), 0
    for number, found in enumerate(read(files(tmp_path)[0], mapping={}, timezone=UTC)):
        highest = max(highest, pa.total_allocated_bytes() - before)
        assert outcome(found) == (f"r{number}" if number else "too_large")
        if number == 100:  # three batches and more
            break
    assert highest < 300 * 2**20


def test_a_thousand_damaged_files_are_each_read_or_one_error(tmp_path: Path) -> None:
    rows = [
        {"review_id": f"r{i}", "text": f"Отзыв {i}", "created_at": datetime(2024, 5, 1 + i, tzinfo=ZULU), "rating": 4.0,
         "attachments": [{"kind": "image", "uri": "a.jpg"}] * (i % 3)}
        for i in range(20)
    ]  # fmt: skip
    whole = [parquet(rows), parquet(rows, use_dictionary=False, compression="none"),
             parquet(rows, row_group_size=7, data_page_version="2.0", compression="zstd")]  # fmt: skip
    chance, broken = random.Random(5), 0
    path = tmp_path / "reviews.parquet"
    for _ in range(1000):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 2, 8))):
            at = chance.randrange(len(damaged))
            match chance.randrange(4):
                case 0:
                    damaged[at] ^= 1 << chance.randrange(8)
                case 1:
                    damaged[at] = chance.randrange(256)
                case 2:
                    damaged[at : at + 4] = chance.choice((b"\xff\xff\xff\x7f", bytes(4)))
                case 3:
                    del damaged[at : at + chance.randrange(1, 20)]
        path.write_bytes(damaged)
        try:
            assert len(list(read(files(path)[0], mapping={}, timezone=UTC))) == len(rows)
        except SourceError:
            broken += 1
    assert 500 < broken < 1000


def test_a_flipped_bit_is_found_where_pages_carry_checksums(tmp_path: Path) -> None:
    rows = [{"review_id": f"r{i}", "text": "Отзыв" * 500, "created_at": "2024-05-01"} for i in range(20)]
    whole = parquet(rows, write_page_checksum=True, compression="none", use_dictionary=False)
    at = whole.index("Отзыв".encode()) + 5000
    with pytest.raises(SourceError, match=r"reviews\.parquet is not sound Parquet"):
        read_bytes(tmp_path, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], ending=".parquet")


@pytest.mark.parametrize("data", [b"", b"PAR1", b'{"review_id": "r1"}', b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_not_parquet_is_one_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"reviews\.parquet is not sound Parquet"):
        read_bytes(tmp_path, data, ending=".parquet")


def test_other_ways_to_type_a_column_mean_the_same(tmp_path: Path) -> None:
    two = [{"uri": "a.jpg", "kind": "image", "size": {"w": 1}}]
    key = UUID("12345678-1234-5678-1234-567812345678")
    columns: list[tuple[str, pa.Array, Any]] = [
        ("review_id", pa.array([101.0]), "101"), ("review_id", pa.array([101]).dictionary_encode(), "101"),
        ("review_id", pa.array([Decimal("101.00")]), "101"), ("review_id", pa.array([b"r1"]), "r1"),
        ("review_id", pa.array(["r1"]).dictionary_encode(), "r1"), ("review_id", pa.array([str(key)]), str(key)),
        ("review_id", pa.ExtensionArray.from_storage(pa.uuid(), pa.array([key.bytes], pa.binary(16))), str(key)),
        ("course_id", pa.array([12.0]), "12"), ("course_id", pa.array([math.nan]), None),
        ("rating", pa.array(["4,5"]), 4.5),
        ("rating", pa.array([math.nan]), None), ("rating", pa.array([Decimal("4.50")]), 4.5),
        ("rating", pa.array([5]).dictionary_encode(), 5.0), ("rating", pa.array(["nan"]), None),
        ("attachments", pa.array(['[{"uri": "a.jpg"}]']), (AttachmentRef("other", "a.jpg"),)),
        ("attachments", pa.array([["a.jpg"]]), (AttachmentRef("other", "a.jpg"),)),
        ("attachments", pa.array([two]), (AttachmentRef("image", "a.jpg"),)), ("attachments", pa.array(["[]"]), ()),
        ("created_at", pa.array(["01.03.2026"]).dictionary_encode(), datetime(2026, 3, 1, tzinfo=ZULU)),
        ("text", pa.array(["NaN"], pa.large_string()), None), ("author", pa.array([7.0]), "7"),
    ]  # fmt: skip
    for number, (name, values, wanted) in enumerate(columns):
        good = {"review_id": ["r1"], "created_at": ["2024-05-01"], "text": ["a"], "__index_level_0__": [5]}
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(good | {name: values}), path)
        (found,) = read(files(path)[0], mapping={}, timezone=UTC)
        assert isinstance(found, Record), (name, values)
        assert getattr(found, name) == wanted
    pq.write_table(pa.table({"review_id": [1e17], "created_at": ["2024-05-01"], "text": ["a"]}), tmp_path / "x.parquet")
    (lost,) = read(files(tmp_path / "x.parquet")[0], mapping={}, timezone=UTC)
    assert isinstance(lost, RejectedRecord)
    assert lost.reason == "review_id is a number that has lost digits"
    pq.write_table(pa.table({"review_id": ["a"], "created_at": [1772355600123], "text": ["a"]}), tmp_path / "y.parquet")
    (epoch,) = read(files(tmp_path / "y.parquet")[0], mapping={}, timezone=UTC, dates="epoch")
    assert isinstance(epoch, Record)
    assert epoch.created_at == datetime(2026, 3, 1, 9, 0, 0, 123000, ZULU)
