"""What a record may hold, and how it is normalised."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC as ZULU
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.schemas.tables import RULES
from otzyv.tasks.sources import REASONS, REMEDIES, Record, RejectedRecord
from tests.tasks.sources.reviews import GOOD, line, outcome, read_bytes

REFUSED: list[tuple[str, str, Any]] = [
    # rule, column, value
    ("missing_field", "review_id", ...), ("missing_field", "review_id", None), ("missing_field", "review_id", ""),
    ("missing_field", "review_id", "  "), ("missing_field", "created_at", ...), ("missing_field", "created_at", ""),
    ("type", "review_id", 1.5), ("type", "review_id", True), ("type", "review_id", ["r1"]), ("type", "text", 7),
    ("type", "text", ["a"]), ("type", "text", {"a": "b"}), ("type", "course_title", 1), ("type", "source", False),
    ("type", "rating", True), ("type", "rating", "five"), ("type", "rating", [5]), ("type", "author", 0.5),
    ("type", "attachments", {"kind": "image", "uri": "a"}), ("type", "attachments", [["a.jpg"]]),
    ("type", "attachments", "[a.jpg"), ("type", "attachments", [{"kind": "image"}]),
    ("type", "attachments", [{"kind": 1, "uri": "a"}]), ("type", "attachments", [{"uri": ""}]),
    ("range", "rating", 0), ("range", "rating", 5.01), ("range", "rating", -1), ("range", "rating", 10**400),
    ("too_large", "review_id", "я" * 257), ("too_large", "course_title", "я" * 1025),
    ("too_large", "attachments", [{"kind": "image", "uri": "a"}] * 101),
    ("too_large", "attachments", [{"kind": "image", "uri": "a" * 4097}]),
    ("control", "review_id", "a\0b"), ("control", "review_id", "a\x1bb"), ("control", "course_id", "a\x85b"),
    ("control", "text", "a\0b"), ("control", "attachments", [{"kind": "image", "uri": "a\0.jpg"}]),
    ("encoding", "text", "\ud800"), ("encoding", "review_id", "a\udfff"),
    ("encoding", "attachments", [{"kind": "image", "uri": "\udc80"}]),
    ("timestamp", "created_at", 1714564800), ("timestamp", "created_at", ["2024-05-01"]),
    ("timestamp", "created_at", "yesterday"), ("timestamp", "created_at", "2024-02-30"),
    ("timestamp", "created_at", "2024-05-01x12:00"), ("timestamp", "created_at", 20240501),
    ("timestamp", "created_at", "01052024"), ("timestamp", "created_at", "20052024"),
    ("timestamp", "created_at", "2024051"), ("timestamp", "created_at", "20240501T1"),
    ("timestamp", "created_at", "2024-W18-3"), ("timestamp", "created_at", "٢٠٢٤-05-01"),
    ("timestamp", "created_at", "2024-05-01T25:00Z"), ("timestamp", "created_at", "1989-12-31T23:59:59Z"),
    ("timestamp", "created_at", "2100-01-01T00:00:00Z"), ("timestamp", "created_at", "0001-01-01T00:00+14:00"),
    ("timestamp", "updated_at", "9999-12-31T23:59-14:00"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "column", "value"), REFUSED, ids=lambda value: ascii(value)[:40])
def test_a_value_that_is_not_what_its_column_holds_is_refused(
    tmp_path: Path, rule: str, column: str, value: Any
) -> None:
    bad = json.dumps({k: v for k, v in (GOOD | {column: value}).items() if v is not ...}).encode()
    found = read_bytes(tmp_path, bad + b"\n" + line(review_id="next"))
    assert [outcome(one) for one in found] == [rule, "next"]
    assert isinstance(found[0], RejectedRecord)
    assert found[0].review_id == (None if column == "review_id" else "r1"), "whose record it is can be told"
    assert found[0].reason.startswith(column)
    assert found[0].raw == bad


def test_every_reason_has_a_rule_of_the_lake_and_a_remedy() -> None:
    assert set(REASONS.values()) <= set(RULES)
    assert set(REASONS.values()) == set(REMEDIES)


def only(found: list[Record | RejectedRecord]) -> Record:
    (record,) = found
    assert isinstance(record, Record), record
    return record


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-05-01", "2024-04-30 21:00:00"), ("2024-05-01 12:30", "2024-05-01 09:30:00"),
        ("2024-05-01T12:30:00Z", "2024-05-01 12:30:00"), ("2024-05-01t12:30:00z", "2024-05-01 12:30:00"),
        ("2024-05-01 12:30:00+05:30", "2024-05-01 07:00:00"), ("2024-05-01 12:30:00 -0300", "2024-05-01 15:30:00"),
        ("2024-05-01T12:30:00.1234567+00", "2024-05-01 12:30:00.123456"),
        ("20240501", "2024-04-30 21:00:00"), ("20240501T1230", "2024-05-01 09:30:00"),
        ("20240501T123000Z", "2024-05-01 12:30:00"), ("20240501t123000.25+0530", "2024-05-01 07:00:00.250"),
        # Moscow's clock showed 01:30 twice that night: the first is meant
        ("2014-10-26T01:30:00", "2014-10-25 21:30:00"),
    ],
)  # fmt: skip
def test_times_become_utc_and_those_without_a_zone_are_read_in_the_given_one(
    tmp_path: Path, written: str, utc: str
) -> None:
    record = only(read_bytes(tmp_path, line(created_at=written), timezone=ZoneInfo("Europe/Moscow")))
    assert record.created_at == datetime.fromisoformat(utc).replace(tzinfo=ZULU)
    assert record.created_at.tzinfo is ZULU


@pytest.fixture
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_the_zone_of_the_machine_changes_nothing(tmp_path: Path, machine_zone: pytest.MonkeyPatch) -> None:
    data = b"\n".join(
        line(review_id=f"r{i}", created_at=f"2024-{month:02d}-31T{i:02d}:30:00") for month in (3, 10) for i in range(24)
    )
    seen = []
    for zone in ("UTC", "Asia/Vladivostok", "America/New_York", "Pacific/Kiritimati"):
        machine_zone.setenv("TZ", zone)
        time.tzset()
        assert os.environ["TZ"] == zone
        seen.append(read_bytes(tmp_path, data, timezone=ZoneInfo("Europe/Berlin")))
    assert len(seen[0]) == 48
    assert all(isinstance(one, Record) for one in seen[0])
    assert all(found == seen[0] for found in seen)


def test_empty_and_null_and_absent_mean_the_same(tmp_path: Path) -> None:
    digests = {
        only(read_bytes(tmp_path, line(text=value, author=value, rating=value, attachments=value))).sha256
        for value in ("", None, ...)
    }
    assert len(digests) == 1


def test_whole_numbers_serve_as_ids(tmp_path: Path) -> None:
    assert only(read_bytes(tmp_path, line(review_id=12345678901234567890))).review_id == "12345678901234567890"


def test_texts_of_many_megabytes_are_kept(tmp_path: Path) -> None:
    assert only(read_bytes(tmp_path, line(text="Отзыв " * 1_000_000))).text == "Отзыв " * 1_000_000


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4)


@settings(max_examples=50, deadline=None)
@given(
    extra=st.dictionaries(st.text(max_size=8).filter(lambda key: key not in GOOD and key.isdecimal()), json_values),
    order=st.permutations(list(GOOD)),
    gap=st.sampled_from(["", " ", "\t"]),
    ascii_only=st.booleans(),
)
def test_the_digest_is_of_the_meaning_not_of_the_writing(
    tmp_path_factory: pytest.TempPathFactory, extra: dict[str, Any], order: list[str], gap: str, ascii_only: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    written = json.dumps(
        {key: GOOD[key] for key in order} | extra, ensure_ascii=ascii_only, separators=("," + gap, ":" + gap)
    )
    assert only(read_bytes(folder, written.encode())).sha256 == only(read_bytes(folder, line())).sha256


@pytest.mark.parametrize(
    ("column", "value"),
    [("text", "Другой"), ("rating", 4), ("author", "а"), ("updated_at", "2024-05-02"), ("attachments", []),
     ("course_id", "c"), ("course_title", "к"), ("source", "s"), ("created_at", "2024-05-01T12:00:00.000001Z")],
)  # fmt: skip
def test_any_change_of_meaning_changes_the_digest(tmp_path: Path, column: str, value: Any) -> None:
    assert only(read_bytes(tmp_path, line(**{column: value}))).sha256 != only(read_bytes(tmp_path, line())).sha256
