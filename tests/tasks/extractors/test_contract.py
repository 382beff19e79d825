"""What every registered extractor promises: an extractor is tested by existing."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from string import hexdigits
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.tables import STATUSES
from otzyv.tasks.extractors import get, names, registry
from otzyv.tasks.extractors.batches import valid_rows
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.models.weights import File, Weights
from tests.tasks.extractors.contents import Data, contents, good
from tests.tasks.extractors.fitting import vectors
from tests.tasks.extractors.golden import NAMES, compared, golden
from tests.tasks.extractors.ready import Ready, ready

HEAVY = (
    "torch",
    "torchvision",
    "transformers",
    "openvino",
    "onnxruntime",
    "skimage",
    "pywt",
    "fasttext",
    "navec",
    "pandas",
    "prefect",
    "openai",
    "tiktoken",
)


SIBLINGS = {
    "image_nasnetlarge": "image_nasnetmobile",
    "image_inceptionresnetv2": "image_inceptionv3",
    "image_vgg19": "image_vgg16",
    "image_resnet101": "image_resnet50",
    "image_darknet53": "image_darknet19",
    "audio_hubert": "audio_wav2vec2",
    "audio_ast": "audio_wav2vec2",
}
"""Large networks built of the same parts, or run by the same engine, as a smaller one, which proves of all of them that
company and processes change nothing; OTZYV_TORTURE=1 proves it of each."""


@pytest.fixture(params=NAMES)
def card(request: pytest.FixtureRequest) -> Card:
    return get(request.param).card


@pytest.fixture(scope="module", params=NAMES)
def prepared(request: pytest.FixtureRequest) -> Iterator[Ready]:
    with ready(request.param) as found:
        yield found
    gc.collect()  # the network, before there is another


@pytest.fixture(scope="module")
def extractor(prepared: Ready) -> Extractor:
    """One that is loaded once for all of its tests."""
    return kept(prepared.extractor, prepared.load())


@pytest.fixture(scope="module")
def together(extractor: Extractor) -> pa.Table:
    """The rows of all its contents at once."""
    return rows(extractor, datas_for(extractor.card))


@pytest.fixture(scope="module")
def another_process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def no_sibling(extractor: Extractor) -> None:
    name = extractor.card.name
    if name in SIBLINGS and "OTZYV_TORTURE" not in os.environ:
        pytest.skip(f"{SIBLINGS[name]} proves it; OTZYV_TORTURE=1 runs it")


def kept(found: Extractor, run: Run) -> Extractor:
    """The extractor with its function, which is loaded already."""

    def loaded(card: Card, weights: Weights | None) -> Run:
        return run

    return Extractor(found.card, loaded)


def datas_for(card: Card) -> tuple[Data, ...]:
    """Different good contents for a card."""
    return tuple(vectors(card.reads.dim or 0, 4)) if card.reads else good(card.modality)


def rows(extractor: Extractor, datas: Sequence[Data], weights: Weights | None = None) -> pa.Table:
    return pa.Table.from_batches(list(extract(extractor, weights, contents(datas))))


def assert_equal(extractor: Extractor, one: pa.Table, other: pa.Table) -> None:
    """Equal rows, numbers within the card's tolerance."""
    for name in one.column_names:
        for a, b in zip(one[name].to_pylist(), other[name].to_pylist(), strict=True):
            if isinstance(a, float) or (isinstance(a, list) and pa.types.is_floating(one[name].type.value_type)):
                np.testing.assert_allclose(a, b, rtol=0, atol=extractor.card.tolerance)
            else:
                assert a == b


def test_cards_are_known_without_loading_any_library() -> None:
    program = (
        "import sys; from otzyv.tasks.extractors import get, names\n"
        "for name in names(): card = get(name).card; card.table.arrow; card.fingerprint()\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_module_of_the_folder_that_registers_is_listed() -> None:
    folder = Path(registry.__file__).parent
    found = {path for path in folder.rglob("*.py") if "@register(" in path.read_text("utf-8")}
    assert {path.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for path in found} <= {
        module.removeprefix("otzyv.tasks.extractors.") for module in registry.modules()
    }


def test_the_fingerprint_is_stable_and_tells_what_decides_the_output(card: Card) -> None:
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


def test_fingerprints_and_tables_are_told_apart() -> None:
    cards = [get(name).card for name in names()]
    assert len({card.fingerprint() for card in cards}) == len({card.table.name for card in cards}) == len(cards)


def test_the_card_is_complete(card: Card) -> None:
    table = card.table
    assert card.doc
    assert card.licence
    assert card.source
    assert table.keys == (("review_id", "position") if card.attached else ("review_id",))
    assert set(table.values) == set(card.value_columns)
    assert card.value_columns
    assert (card.input is not None) == (card.modality in ("image", "audio"))
    assert card.precision in card.precisions
    assert all(set(file.sha256) <= set(hexdigits) for weights in card.weights for file in weights.files)


def test_the_output_is_what_the_card_promises(extractor: Extractor, together: pa.Table) -> None:
    card, found = extractor.card, together
    assert found["status"].to_pylist() == ["ok"] * len(found)
    assert found.column_names == ["content_sha256", "status", *[column.name for column in card.value_columns]]
    assert valid_rows(found.select([c.name for c in card.value_columns]).combine_chunks().to_batches()[0]).all()
    for column in card.value_columns:
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


def test_not_all_contents_have_the_same_features(together: pa.Table) -> None:
    """Else the tests below could not tell a row from another. Some may well be equal: a flag, a count, a label."""
    values = {str(row[2:]) for row in zip(*[column.to_pylist() for column in together.columns], strict=True)}
    assert len(values) > 1, "the features are equal for all contents of tests/tasks/extractors/contents.py: add others"


def test_values_change_with_the_fingerprint_alone(prepared: Ready) -> None:
    name = prepared.extractor.card.name
    with nullcontext(prepared) if prepared.anywhere else ready(name, anywhere=True) as found:
        assert compared(name, golden(found)) is None


@pytest.mark.usefixtures("no_sibling")
def test_a_row_is_the_same_alone_and_in_any_company(extractor: Extractor, together: pa.Table) -> None:
    datas = datas_for(extractor.card)
    alone = pa.concat_tables([rows(extractor, [data]) for data in datas[:2]])
    assert_equal(extractor, together.slice(0, 2), alone)
    backwards = rows(extractor, datas[::-1])
    assert_equal(extractor, together, backwards.take(list(range(len(datas)))[::-1]))
    assert rows(extractor, datas).equals(together)


@pytest.mark.usefixtures("no_sibling")
def test_another_process_gives_the_same_bytes(
    prepared: Ready, together: pa.Table, another_process: ProcessPoolExecutor
) -> None:
    card = prepared.extractor.card
    known = {name: os.environ[name] for name in os.environ if name.startswith(("OTZYV_", "OPENAI_"))}
    there = another_process.submit(digest_of, card.name, prepared.weights, datas_for(card), known)
    assert there.result() == digest(together)


def digest_of(name: str, weights: Weights | None, datas: Sequence[Data], environment: Mapping[str, str]) -> str:
    """In a process of its own: load the extractor and compute the contents."""
    with patch.dict(os.environ, environment):
        found = get(name)
        told = digest(rows(kept(found, found.load(found.card, weights)), datas))
    gc.collect()
    return told


def digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


HOSTILE: dict[str, tuple[Data, ...]] = {
    "image": (b"", b"GIF89a", b"\xff\xd8\xff\xe0" + b"\0" * 50, b"<svg/>"),
    "audio": (b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"OggS" + b"\xff" * 60, b"ID3"),
    "text": ("", "\n\r\t ", "а" * 200_000, "\u202e\ufeff\u0000", "💥" * 300, "'; DROP TABLE --", "\n__label__x\n"),
}


@pytest.mark.usefixtures("no_sibling")
def test_hostile_company_changes_no_good_row(extractor: Extractor, together: pa.Table) -> None:
    modality = extractor.card.modality
    hostile = HOSTILE.get(modality, HOSTILE["text"])
    if extractor.card.reads:
        hostile = tuple(np.full(extractor.card.reads.dim or 0, odd, np.float32) for odd in (np.nan, np.inf, 0))
    datas = datas_for(extractor.card)
    mixed = rows(extractor, [*hostile[:2], datas[0], *hostile[2:], *datas[1:]])
    assert set(mixed["status"].to_pylist()) <= set(STATUSES)
    places = [2, *range(len(hostile) + 1, len(mixed))]
    assert_equal(extractor, together, mixed.take(places))


@pytest.mark.parametrize("modality", ["plain", "image", "audio"])
def test_every_modality_has_an_extractor_that_needs_no_download(modality: str) -> None:
    assert any(get(name).card.modality == modality for name in names("embedded"))
