"""The one loop that serves every extractor: order, decode, batch, compute, check, give rows back in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from otzyv.tasks.extractors.batches import BatchRunner, schema
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.media.children import Read, pool
from otzyv.tasks.models.weights import Weights

__all__ = ["Content", "ExtractorFailed", "extract"]

_BATCH_BYTES = 64 << 20
"""A batch ends when its decoded contents reach this many bytes (minutes of audio are much larger than images)."""

Prepared = tuple[str, Any]
"""``("ok", decoded content)``, or another status and None."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a model reads: a text or the bytes of a file, named by its sha256.

    ``size``: characters of a text, bytes of a file, numbers of a vector. ``read`` may be called in another thread,
    once; what it raises (the store can't be reached) ends the extraction.
    """

    sha256: str
    size: int
    read: Callable[[], str | bytes | np.ndarray]


def extract(
    extractor: Extractor,
    weights: Weights | None,
    contents: Iterable[Content],
    *,
    chunk_rows: int = 1024,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Features of the contents, a record batch per ``chunk_rows`` of them, in their order.

    Columns: content_sha256, status, then the card's value columns, null where the status is not ``ok``. Contents are
    taken as they are needed: memory does not depend on their number. The model is loaded when the first content is
    ready for it. Files are decoded in ``workers`` children (one per core) while the model computes. ``progress`` is
    told how many contents more are done. Closing the generator ends the work in the children.

    Raises ExtractorFailed; Unavailable; ChildFailed where no child can work; and what loading the model or reading a
    content raises.
    """
    card = extractor.card
    chunks: deque[_Chunk] = deque()

    def ordered() -> Iterator[Content]:
        remaining = iter(contents)
        while taken := list(itertools.islice(remaining, chunk_rows)):
            chunk = _Chunk(taken)
            chunks.append(chunk)
            yield from (taken[row] for row in chunk.order)

    model = BatchRunner(extractor, weights)
    with closing(_prepare(card, ordered(), workers)) as prepared:
        for first in prepared:  # whatever is prepared belongs to the oldest chunk
            chunk = chunks.popleft()
            rest = itertools.islice(prepared, len(chunk.contents) - 1)
            for batch in _batches(card, zip(chunk.order, itertools.chain([first], rest), strict=True)):
                chunk.settle(model, batch)
                if progress:
                    progress(len(batch))
            yield chunk.rows(card)
    model.leave()  # not after an error: whatever caused it may be the model's


class _Chunk:
    """Contents in hand, what became of each, and the values computed so far, in the order of computing."""

    def __init__(self, contents: Sequence[Content]) -> None:
        self.contents = contents
        # Alike in cost, so that little is padded; by sha256 too, so that equal sets make equal batches in any order.
        self.order = sorted(range(len(contents)), key=lambda row: (-contents[row].size, contents[row].sha256))
        self.statuses = [""] * len(contents)
        self._places: list[int | None] = [None] * len(contents)
        self._values: list[pa.RecordBatch] = []
        self._computed = 0

    def settle(self, model: BatchRunner, batch: Sequence[tuple[int, Prepared]]) -> None:
        for row, (status, _) in batch:
            self.statuses[row] = status
        good = [(row, content) for row, (status, content) in batch if status == "ok"]
        for indices, values in model.compute([content for _, content in good]):
            if values is None:
                for index in indices:
                    self.statuses[good[index][0]] = "out_of_memory"
                continue
            ended = values["status"].to_pylist()
            for place, (index, status) in enumerate(zip(indices, ended, strict=True), self._computed):
                row = good[index][0]
                if status == "ok":
                    self._places[row] = place
                else:
                    self.statuses[row] = status
            self._values.append(values.drop_columns(["status"]))
            self._computed += values.num_rows

    def rows(self, card: Card) -> pa.RecordBatch:
        """The chunk's rows in its order; a null place takes nulls."""
        computed = pa.Table.from_batches(self._values, schema(card)).combine_chunks()
        values = computed.take(pa.array(self._places, pa.int64())).combine_chunks()
        columns = {
            "content_sha256": pa.array([content.sha256 for content in self.contents], pa.string()),
            "status": pa.array(self.statuses, pa.string()),
        }
        columns |= {name: values[name].combine_chunks() for name in values.column_names}
        return pa.record_batch(columns)


def _prepare(card: Card, contents: Iterator[Content], workers: int | None) -> Generator[Prepared, None, None]:
    """Each content as the extractor reads it, or why it can't be had."""
    if card.modality == "vector":
        return (("ok", content.read()) for content in contents)
    if card.input is None:
        return _texts(card, contents)
    reads = ((content.size, cast(Read, content.read)) for content in contents)
    return pool(workers).decode(card.input, reads, ahead=card.batch_rows)


def _texts(card: Card, contents: Iterator[Content]) -> Generator[Prepared, None, None]:
    for content in contents:
        text = cast(str, content.read())
        if len(text) > card.limit:
            yield "too_large", None
        elif not text.strip():
            yield "empty", None
        else:
            yield "ok", text


def _batches(card: Card, rows: Iterable[tuple[int, Prepared]]) -> Iterator[list[tuple[int, Prepared]]]:
    """Cut where the good contents reach the card's number of rows or the budget of bytes."""
    batch: list[tuple[int, Prepared]] = []
    good = size = 0
    for row, (status, content) in rows:
        batch.append((row, (status, content)))
        if status == "ok":
            good += 1
            size += getattr(content, "nbytes", 0) or len(content)
        if good == card.batch_rows or size >= _BATCH_BYTES:
            yield batch
            batch, good, size = [], 0, 0
    if batch:
        yield batch
