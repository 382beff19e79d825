"""The loop: every content gets its row in its place, and no content decides another's."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.contract.contents import content, contents, image
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.loop import Content, ExtractorFailed, extract
from otzyv.tasks.media.inputs import ImageInput

NAMED = (
    Column(name="letters", type=pa.int32(), required=False, value=True, doc="letters"),
    Column(name="share", type=pa.float32(), required=False, value=True, doc="vowels of letters"),
)


def extractor(run: Run, **fields: Any) -> Extractor:
    given: dict[str, Any] = {"modality": "text", "dim": 3, "batch_rows": 4} | fields
    return Extractor(Card(name="made_up", version=1, doc="d", licence="l", source="s", **given), lambda card, w: run)


def letters(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """A vector that depends on the whole text."""
    return np.array([[len(t), sum(map(ord, t)) % 997, ord(t[0])] for t in texts], np.float32).reshape(-1, 3)


def named(texts: Sequence[str]) -> pa.RecordBatch:
    shares = [sum(c in "аеиоуэюя" for c in t) / len(t) for t in texts]
    lengths = [len(t) for t in texts]
    return pa.record_batch([pa.array(shares, pa.float32()), pa.array(lengths, pa.int32())], names=["share", "letters"])


def table(made: Extractor, given: Sequence[Content], **options: Any) -> pa.Table:
    return pa.Table.from_batches(list(extract(made, None, given, **options)))


def statuses(made: Extractor, texts: Sequence[str | bytes], **options: Any) -> list[str]:
    found: list[str] = table(made, contents(texts), **options)["status"].to_pylist()
    return found


@settings(deadline=None, max_examples=60)
@given(st.data(), st.lists(st.text("абв \n", max_size=12), min_size=1, max_size=40), st.integers(1, 9))
def test_rows_do_not_depend_on_order_chunks_or_batches(data: st.DataObject, texts: list[str], limit: int) -> None:
    once = table(extractor(letters, limit=limit), contents(texts))
    assert once["content_sha256"].to_pylist() == [content(text).sha256 for text in texts]
    for text, status, vector in zip(texts, once["status"].to_pylist(), once["embedding"].to_pylist(), strict=True):
        expected = "too_large" if len(text) > limit else "ok" if text.strip() else "empty"
        assert (status, vector) == (expected, letters([text])[0].tolist() if expected == "ok" else None)
    order = data.draw(st.permutations(range(len(texts))))
    made = extractor(letters, limit=limit, batch_rows=data.draw(st.integers(1, 7)))
    again = table(made, contents([texts[row] for row in order]), chunk_rows=data.draw(st.integers(1, 50)))
    assert again.equals(once.take(order))


def test_a_batch_comes_per_chunk_with_the_cards_columns() -> None:
    made = extractor(named, dim=None, columns=NAMED)
    batches = list(extract(made, None, contents([f"текст {n}" for n in range(10)]), chunk_rows=4))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    types = {field.name: field.type for field in batches[0].schema}
    assert list(types) == ["content_sha256", "status", "letters", "share"]
    assert all(batch.schema == batches[0].schema for batch in batches)
    assert all(types[column.name] == column.type for column in made.card.value_columns)


def test_batches_hold_contents_of_like_size_and_at_most_batch_rows() -> None:
    seen: list[list[int]] = []

    def run(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        seen.append([len(text) for text in texts])
        return letters(texts)

    texts = ["а" * (n * 7 % 31 + 1) for n in range(30)]
    assert statuses(extractor(run), texts) == ["ok"] * 30
    assert max(map(len, seen)) == 4
    assert sorted(chain(*seen), reverse=True) == list(chain(*seen))


def test_the_model_is_loaded_once_and_only_for_a_content_that_needs_it() -> None:
    loads = 0

    def load(card: Card, weights: object) -> Run:
        nonlocal loads
        loads += 1
        return letters

    made = Extractor(extractor(letters).card, load)
    assert list(extract(made, None, [])) == []
    assert statuses(made, [" ", "", "\n"]) == ["empty"] * 3
    assert loads == 0
    assert statuses(made, ["а", "б"] * 10, chunk_rows=3) == ["ok"] * 20
    assert loads == 1


@pytest.mark.parametrize("modality", ["text", "image"])
def test_contents_are_taken_as_they_are_needed(modality: str) -> None:
    taken = 0

    def endless() -> Iterator[Content]:
        nonlocal taken
        while True:
            taken += 1
            yield content(f"текст {taken}" if modality == "text" else image("PNG", width=40, height=30))

    made = extractor(letters if modality == "text" else brightness, **PICTURE[modality])
    rows = extract(made, None, endless(), chunk_rows=8, workers=2)
    assert sum(batch.num_rows for batch in islice(rows, 5)) == 40
    rows.close()
    assert taken <= 40 + 16 + 2 * 8  # two messages of four contents for each child, and the chunks begun


def test_progress_tells_every_content_once() -> None:
    told: list[int] = []
    texts = ["", *[f"текст {n}" for n in range(20)], " "]
    table(extractor(letters), contents(texts), chunk_rows=6, progress=told.append)
    assert sum(told) == len(texts)
    assert len(told) > 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_number_that_is_not_finite_spoils_its_own_row_alone(bad: float | None) -> None:
    def vectors(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        values = letters(texts)
        values[[text.startswith("плохой") for text in texts], 1] = math.nan if bad is None else bad
        return values

    def columns(texts: Sequence[str]) -> pa.RecordBatch:
        good = named(texts)
        shares = [bad if t.startswith("плохой") else s for t, s in zip(texts, good["share"].to_pylist(), strict=True)]
        return good.set_column(0, "share", pa.array(shares, pa.float32()))

    texts = ["хороший", "плохой", "хорош", "плохой и длинный", "х"]
    for made in (extractor(vectors), extractor(columns, dim=None, columns=NAMED)):
        rows = table(made, contents(texts))
        assert rows["status"].to_pylist() == ["ok", "invalid", "ok", "invalid", "ok"]
        for column in rows.columns[2:]:
            assert [value is None for value in column.to_pylist()] == [False, True, False, True, False]


@pytest.mark.parametrize(
    "output",
    [
        lambda texts: letters(texts)[:, :2],
        lambda texts: letters(texts)[:-1],
        lambda texts: letters(texts).astype(np.float64),
        lambda texts: letters(texts).tolist(),
        named,
        lambda texts: pa.record_batch([pa.array([[1.0]] * len(texts), pa.list_(pa.float32()))], names=["embedding"]),
        lambda texts: pa.record_batch([pa.array([[1.0] * 3], pa.list_(pa.float32()))], names=["embedding"]),
    ],
)
def test_an_output_that_is_not_what_the_card_promises_is_an_error_that_names_the_extractor(output: Run) -> None:
    with pytest.raises(ExtractorFailed, match="'made_up'"):
        statuses(extractor(output), ["один", "два"])


def test_an_extractors_error_is_raised_without_the_contents() -> None:
    def run(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        raise KeyError(f"no vector for {texts[0]}")

    secret = "тай" + "на"
    with pytest.raises(ExtractorFailed, match=r"'made_up' failed.*KeyError at test_loop\.py") as caught:
        statuses(extractor(run), [secret])
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_read_that_fails_ends_the_extraction() -> None:
    def lost() -> str:
        raise ConnectionError("the store is away")

    for fields in PICTURE.values():
        with pytest.raises(ConnectionError):
            table(extractor(letters, **fields), [Content("0" * 64, 5, lost)])


def test_a_model_may_use_its_output_buffer_again() -> None:
    buffer = np.empty((4, 3), np.float32)

    def run(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        buffer[: len(texts)] = letters(texts)
        return buffer[: len(texts)]

    texts = [f"{n} текст" for n in range(11)]
    assert table(extractor(run), contents(texts)).equals(table(extractor(letters), contents(texts)))


class Memory:
    """A run that has not memory for some texts, or for many at once, and counts how often it is called."""

    def __init__(self, culprits: Sequence[str] = (), rows: int = 10_000, error: Exception | None = None) -> None:
        self.culprits, self.rows, self.error = set(culprits), rows, error or MemoryError()
        self.calls = 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        self.calls += 1
        if self.culprits & set(texts) or len(texts) > self.rows:
            raise self.error
        return letters(texts)


@given(st.integers(1, 200), st.data())
def test_one_culprit_of_memory_is_found_in_few_tries(rows: int, data: st.DataObject) -> None:
    texts = [f"текст {n:03}" for n in range(rows)]
    culprit = data.draw(st.integers(0, rows - 1))
    run = Memory([texts[culprit]])
    found = statuses(extractor(run, batch_rows=256), texts)
    assert found == ["out_of_memory" if row == culprit else "ok" for row in range(rows)]
    assert run.calls <= math.ceil(math.log2(rows)) + 2


@given(st.integers(1, 100), st.data())
def test_several_culprits_and_too_large_batches_cost_no_good_row(rows: int, data: st.DataObject) -> None:
    texts = [f"текст {n:03}" for n in range(rows)]
    culprits = data.draw(st.sets(st.integers(0, rows - 1), max_size=5))
    run = Memory([texts[row] for row in culprits], rows=data.draw(st.integers(1, 100)))
    found = statuses(extractor(run, batch_rows=128), texts)
    assert found == ["out_of_memory" if row in culprits else "ok" for row in range(rows)]


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
        "Exception from src/inference/src/cpp/infer_request.cpp: std::bad_alloc",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "could not create a memory object",
    ],
)
def test_what_torch_and_openvino_say_of_memory_is_understood(message: str) -> None:
    run = Memory(["б"], error=RuntimeError(message))
    assert statuses(extractor(run), ["а", "б", "в"]) == ["ok", "out_of_memory", "ok"]


PICTURE: dict[str, dict[str, Any]] = {
    "text": {},
    "image": {"modality": "image", "input": ImageInput(resize=24, crop=24)},
}


def brightness(pictures: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return np.array([picture.mean(axis=(0, 1)) for picture in pictures], np.float32)


def test_files_are_decoded_and_the_undecodable_have_no_values() -> None:
    files = [image("PNG", seed=n) for n in range(6)]
    made = extractor(brightness, **PICTURE["image"])
    rows = table(made, contents([*files, b"no picture", files[0][:100], b""]), chunk_rows=5)
    assert rows["status"].to_pylist()[:6] == ["ok"] * 6
    assert set(rows["status"].to_pylist()[6:]) <= {"undecodable", "unsupported", "empty"}
    vectors = rows["embedding"].to_pylist()
    assert len(set(map(tuple, vectors[:6]))) == 6
    assert vectors[6:] == [None] * 3


def test_the_next_files_are_decoded_while_the_model_computes() -> None:
    read = threading.Event()
    seen: list[bool] = []

    def run(pictures: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        seen.append(read.wait(60))
        return brightness(pictures)

    def reads(data: bytes, *, later: bool) -> Callable[[], bytes]:
        def read_file() -> bytes:
            if later:
                read.set()
            return data

        return read_file

    # Sizes order the contents: the last is read when the first batch has long been decoded, and in another chunk.
    files = [image("PNG", seed=n) for n in range(12)]
    given = [Content(f"{n:064}", 100 - n, reads(file, later=n == 11)) for n, file in enumerate(files)]
    assert table(extractor(run, **PICTURE["image"]), given, chunk_rows=6)["status"].to_pylist() == ["ok"] * 12
    assert all(seen)


@pytest.mark.parametrize("how", ["close", "error"])
def test_stopping_midway_ends_the_work_and_leaves_the_pool_usable(how: str) -> None:
    def run(pictures: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        if how == "error":
            raise OSError
        return brightness(pictures)

    files = [image("PNG", seed=n % 5) for n in range(60)]
    rows = extract(extractor(run, **PICTURE["image"]), None, contents(files), chunk_rows=5)
    if how == "close":
        next(rows)
        rows.close()
    else:
        with pytest.raises(ExtractorFailed):
            next(rows)
    assert statuses(extractor(brightness, **PICTURE["image"]), files, chunk_rows=7) == ["ok"] * 60
