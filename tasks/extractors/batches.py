"""Calling an extractor's function on a batch, and believing nothing of what comes back until it is checked."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import STATUSES
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.errors import ExtractorFailed, Unavailable
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.model_cache import current_cache
from otzyv.tasks.inference.once import LOADING
from otzyv.tasks.models.weights import Weights

_OUT_OF_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)  # how torch and OpenVINO word it, as a RuntimeError


class BatchRunner:
    """An extractor that is loaded when its first batch comes, or taken where one waits that an earlier day loaded."""

    def __init__(self, extractor: Extractor, weights: Weights | None) -> None:
        self._extractor = extractor
        self._weights = weights
        self._run: Run | None = None

    def leave(self) -> None:
        """Let the loaded model wait for the next day, where anybody keeps models."""
        place = current_cache()
        if place is not None and self._run is not None and self._extractor.card.backend != "api":
            place.give(self._extractor.card, self._weights, self._run)
            self._run = None

    def _short_of_memory(self) -> None:
        """What waits for other days gives way, before anything is tried again."""
        place = current_cache()
        if place is not None:
            place.clear()

    def _load(self) -> Run:
        place, card = current_cache(), self._extractor.card
        run = place.take(card, self._weights) if place is not None else None
        if run is None:
            with LOADING:
                run = self._extractor.load(card, self._weights)
        return run

    def compute(self, contents: Sequence[Any]) -> Iterator[tuple[list[int], pa.RecordBatch | None]]:
        """Values of the contents: (indices, a row for each), until every index was given.

        A row has the card's value columns and ``status``: ``ok``, ``invalid`` where a value is null or not finite, or
        what the extractor itself said.

        None stands for contents the memory did not suffice for. One such culprit among n costs at most
        ceil(log2(n)) + 2 calls of the extractor in all.
        """
        if contents:
            yield from self._compute(contents, list(range(len(contents))))

    def _compute(
        self, contents: Sequence[Any], indices: list[int]
    ) -> Iterator[tuple[list[int], pa.RecordBatch | None]]:
        values = self._attempt(contents, indices)
        if values is None:
            yield from self._bisect(contents, indices)
        else:
            yield indices, values

    def _bisect(self, contents: Sequence[Any], failed: list[int]) -> Iterator[tuple[list[int], pa.RecordBatch | None]]:
        """Halve a batch that failed as a whole, following the half with the culprit; the others run in one go."""
        suspects, others, seen_to_fail = failed, list[int](), True
        while len(suspects) > 1:
            half, rest = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
            values = self._attempt(contents, half)
            seen_to_fail = values is None
            if values is None:
                suspects, others = half, others + rest
            else:
                yield half, values
                suspects = rest
        if seen_to_fail:
            yield suspects, None
            if others:
                yield from self._compute(contents, others)
            return
        values = self._attempt(contents, others) if others else None
        if values is not None:
            # The others are at least as many as the smallest batch that failed, so its size was not to blame; and all
            # of that batch but the suspect went well.
            yield others, values
            yield suspects, None
            return
        yield suspects, self._attempt(contents, suspects)
        if others:
            yield from self._bisect(contents, others)

    def _attempt(self, contents: Sequence[Any], indices: list[int]) -> pa.RecordBatch | None:
        """The values of these contents; None where the memory does not suffice for them together."""
        card = self._extractor.card
        if self._run is None:
            self._run = self._load()
        try:
            output = self._run([contents[index] for index in indices])
        except MemoryError:
            self._short_of_memory()
            return None
        except (ExtractorFailed, Unavailable):
            raise
        except Exception as error:
            if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
                self._short_of_memory()
                return None
            frame = traceback.extract_tb(error.__traceback__)[-1]
            # Not chained: the message of a library may quote a content.
            raise ExtractorFailed(
                f"extractor {card.name!r} failed on a batch of {len(indices)}: {type(error).__name__} "
                f"at {Path(frame.filename).name}:{frame.lineno}"
            ) from None
        return _checked(card, output, len(indices))


def schema(card: Card) -> pa.Schema:
    """The card's value columns."""
    return pa.schema([pa.field(column.name, column.type) for column in card.value_columns])


def valid_rows(values: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows have no null and no number that is not finite, in any column: bool (rows,)."""
    good = np.ones(values.num_rows, np.bool_)
    for column in values.columns:
        good &= column.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_floating(column.type):
            good &= np.isfinite(column.to_numpy(zero_copy_only=False))
        elif pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type):
            finite = np.isfinite(column.flatten().to_numpy(zero_copy_only=False))
            good[pc.list_parent_indices(column).to_numpy()[~finite]] = False
    return good


def _checked(card: Card, output: Any, rows: int) -> pa.RecordBatch:
    """What the extractor gave, as a record batch; ExtractorFailed where it is not what the card says."""
    wanted = schema(card)
    if isinstance(output, np.ndarray):
        if len(wanted) != 1 or output.shape != (rows, card.dim) or output.dtype != np.float32:
            raise ExtractorFailed(
                f"extractor {card.name!r} gave {output.dtype} {output.shape} for {rows} contents; its card promises "
                + (f"float32 {(rows, card.dim)}" if not card.columns else f"the columns {', '.join(wanted.names)}")
            )
        # Copied: it may lie in a buffer that the model fills again with the next batch.
        flat = pa.array(output.flatten(), pa.float32())
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * output.shape[1], pa.int32())
        return _with_status(pa.record_batch([pa.ListArray.from_arrays(offsets, flat)], schema=wanted), None)
    if not isinstance(output, pa.RecordBatch):
        raise ExtractorFailed(f"extractor {card.name!r} gave a {type(output).__name__}, not an array or a record batch")
    said = None
    if "status" in output.schema.names:
        said, output = output["status"].to_pylist(), output.drop_columns(["status"])
        if unknown := {str(status) for status in said if status not in STATUSES}:
            raise ExtractorFailed(
                f"extractor {card.name!r} gave status {', '.join(sorted(unknown))}; there are: {', '.join(STATUSES)}"
            )
    types = {field.name: field.type for field in output.schema}
    if types != {field.name: field.type for field in wanted} or output.num_rows != rows:
        given = ", ".join(f"{field.name}: {field.type}" for field in output.schema)
        promised = ", ".join(f"{field.name}: {field.type}" for field in wanted)
        raise ExtractorFailed(
            f"extractor {card.name!r} gave {output.num_rows} rows of ({given}) for {rows} contents; its card promises "
            f"({promised})"
        )
    for column in card.value_columns:
        lengths = pc.unique(pc.list_value_length(output[column.name])).to_pylist() if column.dim else []
        if set(lengths) - {column.dim, None}:
            raise ExtractorFailed(
                f"extractor {card.name!r}: column {column.name!r} has vectors of {lengths} values, not {column.dim}"
            )
    return _with_status(pa.record_batch([output[name] for name in wanted.names], schema=wanted), said)


def _with_status(values: pa.RecordBatch, said: Sequence[str] | None) -> pa.RecordBatch:
    judged = ["ok" if sound else "invalid" for sound in valid_rows(values)]
    if said is not None:
        judged = [own if own != "ok" else found for own, found in zip(said, judged, strict=True)]
    return values.append_column("status", pa.array(judged, pa.string()))
