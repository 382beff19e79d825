"""The dictionary tells of every column and every promise, in each of its forms."""

import json

import pyarrow as pa
import pytest

from otzyv.schemas.dictionary import as_json, as_markdown, as_text
from otzyv.schemas.table import Table
from tests.schemas.shapes import ALL, PICTURES, SENTIMENT, VECTORS, WORDS


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_column_is_told_of(table: Table) -> None:
    page, screen, data = as_markdown([table]), as_text(table), json.loads(json.dumps(as_json(table)))
    assert [column["name"] for column in data["columns"]] == list(table.names)
    assert [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")] == list(table.names)
    words = " ".join(screen.split())
    for column in table.columns:
        assert f"| {column.doc} |" in page
        assert column.name in words
    assert table.row in page
    assert all(len(line) <= 120 for line in screen.splitlines())


def test_what_is_promised_can_be_read_by_people_and_programs() -> None:
    page = as_markdown([VECTORS, PICTURES, SENTIMENT, WORDS])
    assert "5 numbers, length 1; null unless status is ok" in page
    assert "| `share` | `double` | a share | 0 to 1; null unless status is ok |" in page
    assert "at least 0" in page
    assert "one of positive, negative; null unless status is ok" in page
    assert "places from 0 to 49, ascending; null unless status is ok" in page
    assert "as many as indices, length 1 unless there are none; null unless status is ok" in page
    positive = next(column for column in as_json(SENTIMENT)["columns"] if column["name"] == "positive")
    assert positive == {
        "name": "positive", "type": str(pa.float32()), "doc": "a score",
        "required": False, "value": True, "personal": False, "low": 0, "high": 1.0001,
    }  # fmt: skip


def test_brackets_in_a_doc_are_shown_as_they_are() -> None:
    column = VECTORS.columns[0]
    told = type(column)(name="x", type=pa.string(), doc="a [bold]list[/bold] | of x")
    table = Table(name="odd", row="[red]one[/red]", columns=(told,), keys=("x",), partition=None)
    assert "[bold]list[/bold] | of x" in as_text(table)
    assert "[bold]list[/bold] \\| of x" in as_markdown([table])
    assert "[red]one[/red]" in as_text(table)
