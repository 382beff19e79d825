import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.sample import sample
from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import STATUSES, TABLES, feature_table

VECTOR = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, dim=5, unit=True, doc="a")
VECTORS = feature_table("vectors", [VECTOR], row="a vector of a review", attached=False)


@pytest.mark.parametrize("table", [*TABLES.values(), VECTORS], ids=lambda table: table.name)
def test_a_sample_has_the_tables_schema_and_is_the_same_for_the_same_seed(table: Table) -> None:
    for rows in (0, 1, 100):
        made = sample(table, rows, seed=3)
        made.validate(full=True)
        assert made.schema == table.arrow
        assert made.num_rows == rows
        assert made.equals(sample(table, rows, seed=3))
    assert not made.equals(sample(table, rows, seed=4))


def test_a_sample_lies_in_the_day_asked_for_and_has_every_status() -> None:
    made = sample(VECTORS, 200, seed=0, day=dt.date(2025, 5, 5))
    assert set(made["day"].to_pylist()) == {dt.date(2025, 5, 5)}
    assert set(made["status"].to_pylist()) == set(STATUSES)


def test_a_samples_vectors_have_length_one_and_stand_where_the_status_is_ok() -> None:
    made = sample(VECTORS, 200, seed=0)
    for status, vector in zip(made["status"].to_pylist(), made["embedding"].to_pylist(), strict=True):
        assert (vector is not None) == (status == "ok")
        if vector is not None:
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
