"""What every extractor promises, as a class of tests to inherit. It needs pytest.

    from otzyv.tasks.extractors.contract import Contract

    class TestShouting(Contract):
        name = "text_shouting"
        golden = Path(__file__).with_name("golden")

A class for several extractors has a fixture ``prepared`` with params instead of ``name``. otzyv's own are tested so.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from string import hexdigits
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.tables import STATUSES
from otzyv.tasks.extractors.batches import valid_rows
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.contract import golden as values
from otzyv.tasks.extractors.contract.contents import Data, contents, good
from otzyv.tasks.extractors.contract.fitting import vectors
from otzyv.tasks.extractors.contract.ready import Ready, ready
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.extractors.registry import get
from otzyv.tasks.models.weights import File, Weights

HOSTILE: Mapping[str, tuple[Data, ...]] = {
    "image": (b"", b"GIF89a", b"\xff\xd8\xff\xe0" + b"\0" * 50, b"<svg/>"),
    "audio": (b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"OggS" + b"\xff" * 60, b"ID3"),
    "text": ("", "\n\r\t ", "а" * 200_000, "\u202e\ufeff\u0000", "💥" * 300, "'; DROP TABLE --", "\n__label__x\n"),
}


class Promises:
    """What holds of an extractor, whoever made its weights."""

    name: ClassVar[str]
    """The extractor's name, under which this process must know it."""

    @pytest.fixture(scope="class")
    @classmethod
    def prepared(cls) -> Iterator[Ready]:
        """The extractor with its weights."""
        with ready(cls.name) as found:
            yield found
        gc.collect()  # the network, before there is another

    @pytest.fixture
    def no_sibling(self) -> None:
        """Of several extractors, those may be skipped here of which another one with the same parts proves as much."""

    @pytest.fixture
    def card(self, prepared: Ready) -> Card:
        return prepared.extractor.card

    @pytest.fixture(scope="class")
    @classmethod
    def changed(cls) -> list[str]:
        """What the extractor did to contents that were handed to it."""
        return []

    @pytest.fixture(scope="class")
    @classmethod
    def extractor(cls, prepared: Ready, changed: list[str]) -> Extractor:
        """One that is loaded once for all of its tests."""
        return kept(prepared.extractor, watched(prepared.load(), changed))

    @pytest.fixture(scope="class")
    @classmethod
    def together(cls, extractor: Extractor) -> pa.Table:
        """The rows of all its contents at once."""
        return rows(extractor, datas_for(extractor.card))

    def test_the_fingerprint_is_stable_and_tells_what_decides_the_output(self, card: Card) -> None:
        weights = Weights("s", "r", "l", (File("a", "0" * 64),))
        changed = [
            dataclasses.replace(card, version=card.version + 1),
            dataclasses.replace(card, precision="bf16" if card.precision == "f32" else "f32"),
            dataclasses.replace(card, settings=(*card.settings, ("made_up", 1))),
            dataclasses.replace(card, limit=card.limit + 1),
        ]
        fingerprints = [card.fingerprint(), *[other.fingerprint() for other in changed], card.fingerprint(weights)]
        fingerprints.append(card.fingerprint(dataclasses.replace(weights, files=(File("a", "1" * 64),))))
        assert len({*fingerprints}) == len(fingerprints)
        assert all(len(fingerprint) == 64 for fingerprint in fingerprints)
        told_otherwise = dataclasses.replace(card, notes="other", doc=card.doc)
        assert told_otherwise.fingerprint() == card.fingerprint()

    def test_the_card_is_complete(self, card: Card) -> None:
        table = card.table
        assert not list(card.faults())
        assert card.doc
        assert card.licence
        assert card.source
        assert table.keys == (("review_id", "position") if card.attached else ("review_id",))
        assert set(table.values) == set(card.value_columns)
        assert all(set(file.sha256) <= set(hexdigits) for weights in card.weights for file in weights.files)

    def test_the_output_is_what_the_card_promises(self, extractor: Extractor, together: pa.Table) -> None:
        card, found = extractor.card, together
        assert found["status"].to_pylist() == ["ok"] * len(found)
        assert found.column_names == ["content_sha256", "status", *[column.name for column in card.value_columns]]
        assert valid_rows(found.select([c.name for c in card.value_columns]).combine_chunks().to_batches()[0]).all()
        for column in card.value_columns:
            assert found.schema.field(column.name).type == column.type
            values = found[column.name].to_pylist()
            if column.dim:
                assert {len(vector) for vector in values} == {column.dim}
            if column.places:
                assert [len(row) for row in found[column.places].to_pylist()] == [len(row) for row in values]
            if column.size:
                assert all(0 <= place < column.size for row in values for place in row)
                assert all(row == sorted(set(row)) for row in values)
            if column.unit and column.places:
                np.testing.assert_allclose([np.linalg.norm(row) for row in values], 1, atol=1e-3)
            elif column.unit:
                np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-3)
            if column.labels:
                assert set(values) <= set(column.labels)
            if column.low is not None:
                assert min(values) >= column.low
            if column.high is not None:
                assert max(values) <= column.high

    @pytest.mark.usefixtures("together")
    def test_no_content_is_changed(self, changed: list[str]) -> None:
        assert not changed

    def test_not_all_contents_have_the_same_features(self, together: pa.Table) -> None:
        """Else the tests below could not tell a row from another. Some may well be equal: a flag, a count, a label."""
        values = {str(row[2:]) for row in zip(*[column.to_pylist() for column in together.columns], strict=True)}
        assert len(values) > 1, "the features are equal for all contents of otzyv.tasks.extractors.contract.contents"

    @pytest.mark.usefixtures("no_sibling")
    def test_a_row_is_the_same_alone_and_in_any_company(self, extractor: Extractor, together: pa.Table) -> None:
        datas = datas_for(extractor.card)
        alone = pa.concat_tables([rows(extractor, [data]) for data in datas[:2]])
        assert_equal(extractor, together.slice(0, 2), alone)
        backwards = rows(extractor, datas[::-1])
        assert_equal(extractor, together, backwards.take(list(range(len(datas)))[::-1]))
        assert rows(extractor, datas).equals(together)

    @pytest.mark.usefixtures("no_sibling")
    def test_hostile_company_changes_no_good_row(self, extractor: Extractor, together: pa.Table) -> None:
        hostile = HOSTILE.get(extractor.card.modality, HOSTILE["text"])
        if extractor.card.reads:
            hostile = tuple(np.full(extractor.card.reads.dim or 0, odd, np.float32) for odd in (np.nan, np.inf, 0))
        datas = datas_for(extractor.card)
        mixed = rows(extractor, [*hostile[:2], datas[0], *hostile[2:], *datas[1:]])
        assert set(mixed["status"].to_pylist()) <= set(STATUSES)
        places = [2, *range(len(hostile) + 1, len(mixed))]
        assert_equal(extractor, together, mixed.take(places))


class Contract(Promises):
    """What holds of an extractor whose weights are always the same: its values too, here and in any process."""

    golden: ClassVar[Path]
    """The folder of its golden values."""
    made_by: ClassVar[str] = values.MADE_BY
    """The command that makes them."""

    @pytest.fixture
    def anywhere(self, prepared: Ready) -> Ready:
        """The extractor with weights that are the same on every machine."""
        return prepared

    @pytest.fixture(scope="class")
    @classmethod
    def another_process(cls) -> Iterator[ProcessPoolExecutor]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool

    def test_values_change_with_the_fingerprint_alone(
        self, prepared: Ready, anywhere: Ready, extractor: Extractor
    ) -> None:
        name, loaded = extractor.card.name, extractor if anywhere is prepared else None
        assert values.compared(name, values.golden(anywhere, loaded), self.golden, self.made_by) is None

    @pytest.mark.usefixtures("no_sibling")
    def test_another_process_gives_the_same_bytes(
        self, prepared: Ready, together: pa.Table, another_process: ProcessPoolExecutor
    ) -> None:
        card = prepared.extractor.card
        known = {name: os.environ[name] for name in os.environ if name.startswith(("OTZYV_", "OPENAI_"))}
        there = another_process.submit(digest_of, card.name, prepared.weights, datas_for(card), known)
        assert there.result() == digest(together)


def kept(found: Extractor, run: Run) -> Extractor:
    """The extractor with its function, which is loaded already."""

    def loaded(card: Card, weights: Weights | None) -> Run:
        return run

    return Extractor(found.card, loaded)


def watched(run: Run, changed: list[str]) -> Run:
    """The function, with a note for each content that it has changed."""

    def call(given: Sequence[Any]) -> Any:
        before = [_bytes(content) for content in given]
        output = run(given)
        changed.extend(f"content {n} of {len(given)}" for n, was in enumerate(before) if _bytes(given[n]) != was)
        return output

    return call


def _bytes(content: Any) -> Any:
    return content.tobytes() if isinstance(content, np.ndarray) else content


def datas_for(card: Card) -> tuple[Data, ...]:
    """Different good contents for a card."""
    return tuple(vectors(card.reads.dim or 0, 4)) if card.reads else good(card.modality)


def rows(extractor: Extractor, datas: Sequence[Data], weights: Weights | None = None) -> pa.Table:
    """Features of the contents, by the loop that a lake runs."""
    return pa.Table.from_batches(list(extract(extractor, weights, contents(datas))))


def assert_equal(extractor: Extractor, one: pa.Table, other: pa.Table) -> None:
    """Equal rows, numbers within the card's tolerance."""
    for name in one.column_names:
        for a, b in zip(one[name].to_pylist(), other[name].to_pylist(), strict=True):
            if isinstance(a, float) or (isinstance(a, list) and pa.types.is_floating(one[name].type.value_type)):
                np.testing.assert_allclose(a, b, rtol=0, atol=extractor.card.tolerance)
            else:
                assert a == b


def digest_of(name: str, weights: Weights | None, datas: Sequence[Data], environment: Mapping[str, str]) -> str:
    """In a process of its own: load the extractor and compute the contents."""
    with patch.dict(os.environ, environment):
        found = get(name)
        told = digest(rows(kept(found, found.load(found.card, weights)), datas))
    gc.collect()
    return told


def digest(table: pa.Table) -> str:
    """sha256 of the rows, as Arrow's stream has them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
