"""JSONL: every line that is not blank is a record or a refusal, whatever its bytes."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import Notes, Record, RejectedRecord, SourceError, files, read
from tests.tasks.sources.reviews import UTC, line, outcome, read_bytes

MARKS = re.compile(rb"\A(\xef\xbb\xbf)+")


def accounted(data: bytes, found: list[Record | RejectedRecord]) -> None:
    """Every line of ``data`` that is not blank is in ``found``, at its offset, byte for byte."""
    assert [one.raw for one in found] == [part for part in data.split(b"\n") if MARKS.sub(b"", part).strip(b" \t\r")]
    assert all(data[one.offset : one.offset + len(one.raw)] == one.raw for one in found)


pieces = st.sampled_from(
    [line(), line(text="строка\u2028внутри\x85"), b'{"review_id":', b'"', b"\\ud800", b"\xff", b"\0", b"\r", b"\n",
     b" ", b"[" * 50, b"NaN", b"\xef\xbb\xbf", b"{}", b"9" * 5000]
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(pieces | st.binary(max_size=20), max_size=20).map(b"".join), st.sampled_from([".jsonl", ".jsonl.gz"]))
@example(b"\n\r\n \n", ".jsonl")
def test_any_bytes_are_accounted_for_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    data = line() + b"\n" + data
    found = read_bytes(tmp_path_factory.getbasetemp(), data, ending=ending)
    accounted(data, found)
    assert outcome(found[0]) == "r1"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60).filter(lambda data: b"\r" not in data or b"\n" in data))
def test_a_file_of_any_bytes_is_read_or_is_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    with contextlib.suppress(SourceError):  # nothing else is ever raised
        found = list(read(files(path)[0], mapping={}, timezone=UTC))
        marks = MARKS.match(data)
        first = marks.end() if marks else 0
        accounted(b" " * first + data[first:], found)


def test_two_thousand_damaged_lines_are_each_accounted_for(tmp_path: Path) -> None:
    chance, damaged = random.Random(7), []
    for number in range(2000):
        one = bytearray(line(review_id=f"r{number}", text='Хороший курс \u2028 \\ " {[' * chance.randrange(9)))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(one))
            one[at : at + chance.randrange(3)] = bytes(chance.randrange(256) for _ in range(chance.randrange(3)))
        damaged.append(bytes(one).replace(b"\n", b"?"))
    data = b"\n".join(damaged)
    found = read_bytes(tmp_path, data)
    accounted(data, found)
    assert {"json", "encoding"} <= {one.rule for one in found if isinstance(one, RejectedRecord)}
    assert any(isinstance(one, Record) for one in found)


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01", "review_id": "r2"}'),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01", "more": {"a": 1, "a": 1}}'),
        ("range", b'{"review_id": "r1", "created_at": "2024-05-01", "rating": -Infinity}'),
        ("type", b'{"review_id": "r1", "created_at": "2024-05-01", "text": Infinity}'),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01"'),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01",}'),
        ("json", b"{'review_id': 'r1'}"),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01", "text": "a\tb"}'),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01", "more": ' + b"9" * 5000 + b"}"),
        ("json", b'{"review_id": "r1", "created_at": "2024-05-01", "more": ' + b"[" * 40 + b"]" * 40 + b"}"),
        ("json", b"[" * 100_000),
        ("json", b'{"a":' * 100_000),
        ("json", b"id,text"),
        ("range", b'{"review_id": "r1", "created_at": "2024-05-01", "rating": 1e999}'),
        ("type", b"[]"), ("type", b"null"), ("type", b'"r1"'),
        ("missing_field", b"{}"),
        ("control", b'{"review_id": "r1", "created_at": "2024-05-01", "text": "a\0b"}'),
        ("encoding", '{"review_id": "отзыв", "created_at": "2024-05-01"}'.encode("cp1251")),
        ("encoding", b'{"review_id": "r1", "created_at": "2024-05-01", "text": "\xed\xa0\x80"}'),
    ],
    ids=lambda value: ascii(value)[:60],
)  # fmt: skip
def test_what_is_no_strict_json_record_is_refused_and_reading_goes_on(tmp_path: Path, rule: str, bad: bytes) -> None:
    found = read_bytes(tmp_path, line(review_id="a") + b"\n" + bad + b"\n" + line(review_id="b"))
    assert [outcome(one) for one in found] == ["a", rule, "b"]


def test_brackets_in_a_text_are_no_nesting(tmp_path: Path) -> None:
    (found,) = read_bytes(tmp_path, line(text='[{"\\' * 10_000, more=[[]] * 100))
    assert outcome(found) == "r1"


def test_only_a_line_feed_ends_a_record(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\u000be\x1cf\rg"
    data = b"\xef\xbb\xbf" + line(text=text) + b"\r\n\r\n" + line(text=text, review_id="last")
    found = read_bytes(tmp_path, data)
    assert [one.text for one in found if isinstance(one, Record)] == [text, text]
    assert [one.offset for one in found] == [3, data.index(line(text=text, review_id="last"))]


def test_a_line_too_large_is_refused_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    with path.open("wb") as out:
        out.write(line(review_id="a") + b'\n{"text": "')
        for _ in range(64):
            out.write(b"x" * 2**20)
        out.write(b'"}\n' + line(review_id="b"))
    tracemalloc.start()
    found = list(read(files(path)[0], mapping={}, timezone=UTC))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [outcome(one) for one in found] == ["a", "too_large", "b"]
    assert len(found[1].raw) == 2**20
    assert found[2].offset == path.stat().st_size - len(line(review_id="b"))
    assert peak < 40 * 2**20


def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / "reviews.jsonl.gz"
        path.write_bytes(gzip.compress((line(text="Отзыв " * 500) + b"\n") * rows))  # more than any buffer holds
        tracemalloc.start()
        assert sum(1 for _ in read(files(path)[0], mapping={}, timezone=UTC)) == rows
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(10)
    assert peak(3000) < 1.3 * peak(300)


def test_a_column_of_the_mapping_that_no_record_has_is_noted(tmp_path: Path) -> None:
    data = line(body="Понравилось") + b"\n" + line(review_id="r2")
    notes = Notes()
    read_bytes(tmp_path, data, mapping={"text": "body", "author": "who"}, notes=notes)
    read_bytes(tmp_path, b"\n", mapping={"text": "body"}, notes=notes)
    assert list(notes.lines()) == ["reviews.jsonl: no record has 'who', which the mapping names; check the spelling"]


def test_renamed_columns_are_found_by_the_mapping(tmp_path: Path) -> None:
    data = json.dumps({"id": 7, "when": "2024-05-01", "body": "Текст", "text": "не то"}).encode()
    (found,) = read_bytes(tmp_path, data, mapping={"review_id": "id", "created_at": "when", "text": "body"})
    assert isinstance(found, Record)
    assert (found.review_id, found.text) == ("7", "Текст")
    with pytest.raises(ValueError, match="names body; there are: review_id"):
        read_bytes(tmp_path, data, mapping={"body": "text"})


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(line()), "gzip"), (b"PK\x03\x04" + bytes(26), "zip"), (b"PAR1" + bytes(8), "Parquet"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "binary"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_one_error(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(SourceError, match=rf"reviews\.jsonl.*{what}"):
        read_bytes(tmp_path, data)


def test_damaged_gzip_is_one_error_and_never_wrong_records(tmp_path: Path) -> None:
    chance = random.Random(3)
    lines = [line(review_id=f"r{i}", text=str(chance.random()) * 20) for i in range(200)]
    whole = gzip.compress(b"\n".join(lines))
    path = tmp_path / "reviews.jsonl.gz"
    broken = 0
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        else:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        seen: list[Record | RejectedRecord] = []
        try:
            seen.extend(read(files(path)[0], mapping={}, timezone=UTC))
        except SourceError:
            broken += 1
        else:
            assert [one.raw for one in seen] == lines  # only the header's time, name or flags were hit
    assert broken > 120


RECORDS = [line(review_id=f"r{number}", text='Курс \\" [{ 🙂') for number in range(4)]


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".ndjson"])
@pytest.mark.parametrize(
    "data",
    [b"[" + b",".join(RECORDS) + b"]", b"[\n" + b",\n".join(RECORDS) + b"\n]\n",
     b" \n[ " + b" , ".join(RECORDS) + b" ]",
     b"\xef\xbb\xbf[" + b",".join(RECORDS) + b"]", b"\n".join(RECORDS), b"\r\n".join(RECORDS),
     b"[" + b",".join(RECORDS[:2]) + b"]\n" + b"\n".join(RECORDS[2:]), b"\n".join(RECORDS).replace(b", ", b",\n  "),
     b"\n".join(RECORDS).replace(b"{", b"{\n").replace(b"[{\n ", b"[{ ")],
    ids=range(9),
)  # fmt: skip
def test_records_are_found_in_an_array_in_lines_and_over_lines(tmp_path: Path, data: bytes, ending: str) -> None:
    found = read_bytes(tmp_path, data, ending=ending)
    assert [outcome(one) for one in found] == ["r0", "r1", "r2", "r3"]
    assert all(data[one.offset : one.offset + len(one.raw)] == one.raw for one in found)


def test_what_is_no_record_in_an_array_is_refused_alone(tmp_path: Path) -> None:
    bad = [b"null", b"5", b'"text"', b"[]", b'[{"review_id": "x"}]', b"{}", b'{"a": 1, "a": 2}', b"{'a': 1}", b"tru"]
    data = b"[" + b",".join(part for one in bad for part in (RECORDS[0], one)) + b"," + RECORDS[1] + b"]"
    found = read_bytes(tmp_path, data, ending=".json")
    assert [outcome(one) for one in found[1::2]] == [
        "type", "type", "type", "type", "type", "missing_field", "json", "json", "json",
    ]  # fmt: skip
    assert [outcome(one) for one in found[::2]] == ["r0"] * len(bad) + ["r1"]
    assert [one.raw for one in found[1::2]] == bad


@pytest.mark.parametrize("data", [b"[", b"[" + RECORDS[0], b"[" + RECORDS[0] + b",", b"[" + RECORDS[0][:-3],
                                  b"{\n" + RECORDS[0][1:-1]])  # fmt: skip
def test_json_that_is_cut_short_is_one_error(tmp_path: Path, data: bytes) -> None:
    if data == b"[":
        assert [outcome(one) for one in read_bytes(tmp_path, data, ending=".json")] == ["json"]
        return
    with pytest.raises(SourceError, match=r"reviews\.json is cut short or broken"):
        read_bytes(tmp_path, data, ending=".json")


@pytest.mark.parametrize("data", [b"[]", b" [ ] \n", b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_array_holds_no_record(tmp_path: Path, data: bytes) -> None:
    assert read_bytes(tmp_path, data, ending=".json") == []


@pytest.mark.parametrize(
    "around",
    [{"reviews": [json.loads(RECORDS[0])]}, {"page": 1, "data": {"items": [json.loads(RECORDS[0])]}},
     {"review_id": {"0": "a"}, "text": {"0": "b"}}, {"review_id": ["a"], "text": ["b"]}, {"0": {"review_id": "a"}},
     {"columns": ["review_id"], "data": [["a"]]}],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_around_the_records_is_one_error_that_says_what_would_work(
    tmp_path: Path, around: dict[str, object], indent: int | None
) -> None:
    with pytest.raises(SourceError, match=r'reviews\.json is one object that holds the records.*orient="records"'):
        read_bytes(tmp_path, json.dumps(around, indent=indent).encode(), ending=".json")
    found = read_bytes(tmp_path, json.dumps(around).encode() + b"\n" + RECORDS[1], ending=".json")
    assert outcome(found[1]) == "r1"


def test_an_array_takes_little_memory_and_a_value_too_large_in_it_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    with path.open("wb") as out:
        out.write(b"[" + line(review_id="a") + b',\n{"text": "')
        for _ in range(20):
            out.write(b'x [{\\"' + b"y" * 2**20)
        out.write(b'"},' + line(review_id="b"))
        for number in range(600):
            out.write(b", " + line(review_id=f"r{number}", text="z" * 10_000))
        out.write(b"]")
    tracemalloc.start()
    outcomes = [outcome(one) for one in read(files(path)[0], mapping={}, timezone=UTC)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcomes == ["a", "too_large", "b", *(f"r{number}" for number in range(600))]
    assert peak < 60 * 2**20
