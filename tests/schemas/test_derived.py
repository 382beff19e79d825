"""The flat facts say of vectors and keys what a plain loop over them would say."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from otzyv.schemas.derived import facts, key_numbers, places, rules, sparse, value_numbers, vectors
from otzyv.schemas.sample import sample
from tests.schemas.shapes import ALL

DIM = 3
numbers = st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, 1.0, 3e38, math.nan]))
lists = st.lists(st.one_of(st.none(), st.lists(numbers, min_size=DIM, max_size=DIM), st.lists(numbers, max_size=5)))


def plain(vector: list[float | None] | None) -> tuple[float, bool, float]:
    if vector is None or len(vector) != DIM:
        return (math.nan if vector is None else len(vector)), True, math.nan
    if not all(x is not None and math.isfinite(x) for x in vector):
        return DIM, False, math.nan
    return DIM, True, math.sqrt(sum((x or 0) ** 2 for x in vector))


@given(rows=lists, start=st.integers(0, 5), hide=st.booleans())
def test_vectors_are_reduced_to_length_finiteness_and_norm(rows: list[Any], start: int, hide: bool) -> None:
    array = pa.array(rows, pa.list_(pa.float32()))
    if hide and rows:  # a null whose values still lie in the buffer
        array = pa.ListArray.from_arrays(
            array.offsets, array.values, mask=pa.array([i % 2 == 0 for i in range(len(rows))])
        )
        rows = [None if i % 2 == 0 else row for i, row in enumerate(array.to_pylist())]
    lengths, finite, norms = vectors(array.slice(start), DIM)
    must = [plain(row) for row in rows[start:]]
    np.testing.assert_array_equal(lengths, [m[0] for m in must])
    np.testing.assert_array_equal(finite, [m[1] for m in must])
    np.testing.assert_allclose(norms, [m[2] for m in must], rtol=1e-5, atol=1e-18)


SIZE = 4
pairs = st.lists(
    st.tuples(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(-1, SIZE)), max_size=4)),
        st.one_of(st.none(), st.lists(numbers, max_size=4)),
    )
)


def plain_places(row: list[int | None] | None) -> tuple[bool, bool]:
    row = row or []
    below = all(place is not None and 0 <= place < SIZE for place in row)
    return below, all(a is None or b is None or a < b for a, b in pairwise(row))


def plain_values(values: list[float | None] | None, row: list[int | None] | None) -> tuple[bool, bool, float]:
    if values is None or row is None or len(values) != len(row):
        return values is None or row is None, True, math.nan
    whole = [x for x in values if x is not None and math.isfinite(x)]
    if len(whole) < len(values):
        return True, False, math.nan
    return True, True, math.sqrt(sum(x * x for x in whole)) if whole else math.nan


@given(rows=pairs, start=st.integers(0, 3))
def test_sparse_vectors_are_reduced_to_what_their_places_and_values_keep(rows: list[Any], start: int) -> None:
    found = pa.array([row[0] for row in rows], pa.list_(pa.int32())).slice(start)
    values = pa.array([row[1] for row in rows], pa.list_(pa.float32())).slice(start)
    below, ascending = places(found, SIZE)
    np.testing.assert_array_equal(below, [plain_places(row)[0] for row, _ in rows[start:]])
    np.testing.assert_array_equal(ascending, [plain_places(row)[1] for row, _ in rows[start:]])
    same, finite, norms = sparse(values, found)
    must = [plain_values(value, row) for row, value in rows[start:]]
    np.testing.assert_array_equal(same, [m[0] for m in must])
    np.testing.assert_array_equal(finite, [m[1] for m in must])
    np.testing.assert_allclose(norms, [m[2] for m in must], rtol=1e-5, atol=1e-18)


@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "b", "ab", None]), st.integers(0, 3), st.sampled_from([b"", b"x"])))
)
def test_keys_have_the_same_number_just_where_they_are_equal(rows: list[tuple[Any, ...]]) -> None:
    schema = pa.schema([("id", pa.string()), ("place", pa.int32()), ("raw", pa.binary())])
    keys = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    found = key_numbers(keys)
    assert len(found) == len(rows)
    assert len({*zip(found.tolist(), rows, strict=True)}) == len({*found.tolist()}) == len({*rows})


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None])), min_size=1))
def test_values_have_the_same_number_in_every_batch(batches: list[list[str | None]]) -> None:
    found = value_numbers([pa.array(batch, pa.string()).dictionary_encode() for batch in batches])
    values = [value for batch in batches for value in batch]
    assert [math.isnan(number) for number in found] == [value is None for value in values]
    there = [pair for pair in zip(values, found.tolist(), strict=True) if pair[0] is not None]
    assert len({*there}) == len({value for value, _ in there}) == len({number for _, number in there})


def test_facts_are_numbers_and_of_personal_columns_only_whether_they_are_there() -> None:
    for table in ALL:
        [batch] = sample(table, 30, seed=0).to_batches()
        for (name, rule), found in facts(table, batch).items():
            assert rule in rules(table.column(name))
            assert found.shape == (30,)
            assert found.dtype.kind in "if"
        for column in table.columns:
            if column.personal:
                assert {*rules(column)} <= {"required", "null_by_status"}
