"""Good rows pass; every broken promise is found, under its name and with its key, and nothing of the data shows."""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otzyv.schemas.checks import Outcome, Planned, _library, check, run
from otzyv.schemas.report import Key, Report
from otzyv.schemas.sample import sample
from otzyv.schemas.table import Table
from otzyv.schemas.tables import feature_table
from tests.schemas.faults import SECRET, faults
from tests.schemas.shapes import ALL, PICTURES, SENTIMENT, VECTORS

few = settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
every_table = pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)

Found = dict[tuple[str, str], set[Key]]


def loose(table: Table) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in table.arrow])


def keys_of(table: Table, rows: list[dict[str, Any]]) -> list[Key]:
    return [tuple(row[name] for name in table.keys) for row in rows]


def found(report: Report) -> Found:
    return {(f.name, f.column): set(f.keys) for f in report.failed}


@every_table
@few
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 60))
def test_made_up_rows_pass_every_check(table: Table, seed: int, rows: int) -> None:
    made = sample(table, rows, seed)
    report = check(table, made, expected=made.select(table.keys))
    assert report.ok, report.failed
    assert report.rows == rows
    assert report.passed == len(report.checks) >= len(table.columns) // 2


@every_table
@few
@given(seed=st.integers(0, 2**32), drawn=st.randoms(use_true_random=False))
def test_every_broken_promise_is_found_with_its_name_and_key(table: Table, seed: int, drawn: random.Random) -> None:
    """Several faults at once, each in a row of its own: exactly those are reported."""
    rows = sample(table, 200, seed).to_pylist()
    expected = keys_of(table, rows)
    chosen = [fault for fault in faults(table) if drawn.random() < 0.5]
    free = drawn.sample(rows, len(rows))
    must: Found = defaultdict(set)
    for fault in chosen:
        fits = {"filled": "ok", "unfilled": "not ok"}.get(fault.on)
        row = next(r for r in free if fits is None or (r["status"] == "ok") == (fits == "ok"))
        free.remove(row)
        before = keys_of(table, [row])[0]
        fault.breaks(row)
        for name, column in fault.finds:
            must[name, column].add(before if name == "missing" else keys_of(table, [row])[0])
    report = check(table, pa.Table.from_pylist(rows, loose(table)), expected=expected)
    assert found(report) == must
    for failed in report.failed:
        assert failed.rows == len(must[failed.name, failed.column])
        if failed.kind == "row":
            assert {key: report.invalid_keys[key] for key in failed.keys} == dict.fromkeys(failed.keys, failed.rule)
    assert SECRET not in repr(report)


@every_table
def test_a_doubled_a_lost_and_a_strange_row_are_found(table: Table) -> None:
    rows = sample(table, 30, seed=1).to_pylist()
    keys, joined = keys_of(table, rows), ", ".join(table.keys)
    name = table.keys[0]
    stranger = {**rows[5], name: "nobody's"}
    strange = keys_of(table, [stranger])[0]
    cases: list[tuple[list[dict[str, Any]], Found]] = [
        ([*rows, rows[3]], {("unique", joined): {keys[3]}, ("row_count", ""): set()}),
        (rows[:7] + rows[8:], {("row_count", ""): set(), ("missing", joined): {keys[7]}}),
        (
            [*rows[:5], stranger, *rows[6:]],
            {("unexpected", joined): {strange}, ("missing", joined): {keys[5]}},
        ),
        ([*rows[:4], rows[3], *rows[5:]], {("unique", joined): {keys[3]}, ("missing", joined): {keys[4]}}),
    ]
    for changed, must in cases:
        report = check(table, pa.Table.from_pylist(changed, loose(table)), expected=keys)
        assert found(report) == must
        assert {f.kind for f in report.failed} == {"table"}
        assert report.fatal == report.failed


@pytest.mark.parametrize("name", ["run_key", "fingerprint"])
def test_two_publications_in_one_day_are_found(name: str) -> None:
    rows = sample(VECTORS, 30, seed=1).to_pylist()
    rows[11][name] = "0" * 64
    report = check(VECTORS, pa.Table.from_pylist(rows, loose(VECTORS)))
    assert [(f.name, f.column, f.kind) for f in report.failed] == [("constant", name, "table")]


def test_a_row_check_can_be_mended_by_an_invalid_row_and_a_table_check_can_not() -> None:
    rows = sample(PICTURES, 30, seed=1).to_pylist()
    rows[0]["width"], rows[0]["share"], rows[1]["position"], rows[2]["fingerprint"] = 0, 2.0, -1, None
    first = check(PICTURES, pa.Table.from_pylist(rows, loose(PICTURES)))
    assert first.invalid_keys == {keys_of(PICTURES, rows)[0]: "share.range"}  # the first of two broken rules
    assert {f.rule for f in first.fatal} == {"position.range", "fingerprint.required"}
    rows[0] |= {column.name: None for column in PICTURES.values} | {"status": "invalid"}
    second = check(PICTURES, pa.Table.from_pylist(rows, loose(PICTURES)))
    assert second.failed == first.fatal


def test_more_failing_rows_than_a_batch_are_all_named() -> None:
    made = sample(SENTIMENT, 20_000, seed=1)
    made = made.set_column(made.schema.get_field_index("positive"), "positive", pa.array([2.0] * 20_000, pa.float32()))
    failed = {f.name: f for f in check(SENTIMENT, made).failed}
    assert failed["range"].rows == len(failed["range"].keys) == 20_000
    assert failed["null_by_status"].rows == 2_000


@given(cuts=st.lists(st.integers(0, 40), max_size=6))
@settings(few, max_examples=6)
def test_the_report_does_not_depend_on_how_rows_are_cut_into_batches(cuts: list[int]) -> None:
    rows = sample(PICTURES, 40, seed=5).to_pylist()
    rows[8]["embedding"], rows[20]["share"], rows[30]["fingerprint"] = [1.0], 7.0, "0" * 64
    made = pa.Table.from_pylist(rows, loose(PICTURES)).combine_chunks()
    edges = [0, *sorted(cuts), 40]
    batches = [made.slice(a, b - a).to_batches() for a, b in itertools.pairwise(edges)]
    assert check(PICTURES, (batch for part in batches for batch in part)) == check(PICTURES, made)


def test_no_batch_is_held_once_it_has_been_looked_at(tmp_path: Path) -> None:
    """Not even by its keys: a batch read from an Arrow file is one piece of memory."""
    wide = replace(VECTORS.column("embedding"), dim=500)
    table = feature_table("wide", [wide], row="a vector", attached=False)
    [batch] = sample(table, 1000, seed=0).to_batches()
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as writer:
        for _ in range(12):
            writer.write_batch(batch)
    allocated = []

    def read() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(tmp_path / "rows.arrow")) as file, pa.ipc.open_stream(file) as reader:
            for one in reader:
                allocated.append(pa.total_allocated_bytes())
                yield one

    check(table, read())
    assert allocated[-1] - allocated[1] < batch.nbytes


def test_zero_rows_fail_unless_allowed() -> None:
    empty = sample(VECTORS, 0, seed=0)
    assert [f.rule for f in check(VECTORS, empty).fatal] == ["not_empty"]
    assert [f.rule for f in check(VECTORS, iter(())).fatal] == ["not_empty"]
    assert check(VECTORS, empty, allow_empty=True).ok
    assert check(VECTORS, empty, allow_empty=True, expected=[]).ok
    missing = check(VECTORS, empty, allow_empty=True, expected=[("a",), ("b",)])
    assert [(f.rule, f.rows, set(f.keys)) for f in missing.fatal] == [("review_id.missing", 2, {("a",), ("b",)})]


def test_columns_that_are_missing_strange_or_of_another_type_are_named() -> None:
    made = sample(PICTURES, 5, seed=0)
    wrong = made.drop_columns(["width"]).append_column("height", pa.array([1] * 5))
    wrong = wrong.set_column(0, "review_id", pa.array([b"1"] * 5))
    report = check(PICTURES, wrong)
    assert {(f.name, f.column) for f in report.fatal} == {("schema", c) for c in ("review_id", "width", "height")}


def test_lists_as_delta_and_parquet_give_them_back_are_the_same_type() -> None:
    made = sample(VECTORS, 20, seed=0)
    index = made.schema.get_field_index("embedding")
    element = pa.list_(pa.field("element", pa.float32(), nullable=False))
    assert check(VECTORS, made.set_column(index, "embedding", made["embedding"].cast(element))).ok


def test_a_bound_is_compared_as_its_column_holds_it() -> None:
    rows = sample(SENTIMENT, 5, seed=0).to_pylist()
    rows[0]["positive"] = float(np.float32(1.0001))  # more than 1.0001 in float64
    assert check(SENTIMENT, pa.Table.from_pylist(rows, SENTIMENT.arrow)).ok


def test_unit_vectors_computed_in_bfloat16_are_unit_vectors() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 312), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded = ((vectors.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
    assert not np.array_equal(rounded, vectors)
    table = feature_table("wide", [replace(VECTORS.column("embedding"), dim=312)], row="a vector", attached=False)
    rows = sample(table, 500, seed=0).to_pylist()
    for row, vector in zip(rows, rounded.tolist(), strict=True):
        row |= {"status": "ok", "embedding": vector}
    assert check(table, pa.Table.from_pylist(rows, table.arrow)).ok


def test_a_check_that_raises_has_failed_and_hides_no_other() -> None:
    gxe = _library().expectations
    frame = pd.DataFrame(
        {"row": range(4), "good": [1, 1, 1, 1], "bad": [1, 0, 1, 0], "day": pd.Timestamp("2024-03-01")}
    )

    def flag(column: str) -> Planned:
        return Planned("flag", column, "row", gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[1]))

    quantiles = {"quantiles": [0.5], "value_ranges": [["2024-01-01", "2024-12-31"]]}
    quantile = gxe.ExpectColumnQuantileValuesToBeBetween(column="day", quantile_ranges=quantiles)
    unknown = gxe.ExpectColumnValuesToBeBetween(column="good", min_value={"$PARAMETER": "?"})
    raising = [flag("none"), Planned("quantile", "day", "table", quantile), Planned("unknown", "good", "row", unknown)]
    for one in raising:
        good, broken, bad = run(frame, [flag("good"), one, flag("bad")])
        assert good == Outcome(True)
        assert broken == Outcome(False, raised=True)
        assert bad == Outcome(False, 2, (1, 3))


def test_columns_that_fail_in_the_same_rows_are_each_named() -> None:
    rows = sample(SENTIMENT, 30, seed=0).to_pylist()
    for row in rows[3:5]:
        row |= {"status": "ok", "positive": None, "negative": None}
    report = check(SENTIMENT, pa.Table.from_pylist(rows, loose(SENTIMENT)))
    failed = {f.column: f.keys for f in report.failed if f.name == "null_by_status"}
    assert set(failed) == {"positive", "negative"}
    assert all(keys == tuple((row["review_id"],) for row in rows[3:5]) for keys in failed.values())


def test_threads_check_at_once_and_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    tables = [VECTORS, PICTURES, SENTIMENT] * 3

    def one(table: Table) -> Report:
        rows = sample(table, 50, seed=2).to_pylist()
        rows[0][table.values[-1].name] = None
        return check(table, pa.Table.from_pylist(rows, loose(table)))

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(one, tables))
    assert [r.table for r in reports] == [t.name for t in tables]
    assert [[f.rule for f in r.failed] for r in reports] == [[f"{t.values[-1].name}.null_by_status"] for t in tables]
    assert capfd.readouterr() == ("", "")
