"""What every registered extractor promises: an extractor is tested by existing."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from otzyv.tasks.extractors import get, names, registry, shipped
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.contract import Contract
from otzyv.tasks.extractors.contract.golden import datas
from otzyv.tasks.extractors.contract.ready import Ready
from otzyv.tasks.extractors.contract.tests import datas_for, kept, rows, watched
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.models.store import MissingWeights
from tests.tasks.extractors.golden import FOLDER, MADE_BY, NAMES
from tests.tasks.extractors.ready import ready

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
    "image_inceptionv3": "image_googlenet",
    "image_inceptionresnetv2": "image_googlenet",
    "image_densenet201": "image_googlenet",
    "image_vgg16": "image_alexnet",
    "image_vgg19": "image_alexnet",
    "image_resnet50": "image_resnet18",
    "image_resnet101": "image_resnet18",
    "image_darknet53": "image_darknet19",
    "audio_hubert": "audio_wav2vec2",
    "audio_ast": "audio_wav2vec2",
}
"""Large networks built of the same parts as a smaller one, which proves of all of them that OpenVINO computes them and
that company and processes change nothing. They themselves are computed by torch, which has nothing to compile, and on
their golden contents alone; OTZYV_TORTURE=1 proves all of each."""
PICTURES = ("image_resnet18", "image_shufflenet")
"""Networks of plain and of depthwise convolutions that prove of all those for pictures that OpenVINO compiles them
to the same in any process: it takes most of their time. OTZYV_TORTURE=1 compiles each in another one."""


def represented(card: Card) -> bool:
    """Whether a smaller network stands for the card's in this run."""
    return card.name in SIBLINGS and "OTZYV_TORTURE" not in os.environ


class TestOurs(Contract):
    golden = FOLDER
    made_by = MADE_BY

    @pytest.fixture(scope="class", params=NAMES)
    @classmethod
    def prepared(cls, request: pytest.FixtureRequest) -> Iterator[Ready]:
        with ExitStack() as stack:
            try:
                found = stack.enter_context(ready(request.param))
            except MissingWeights as error:  # of a package that need not be there
                pytest.skip(str(error))
            yield found
        gc.collect()  # the network, before there is another

    @pytest.fixture(scope="class")
    @classmethod
    def extractor(cls, prepared: Ready, changed: list[str]) -> Extractor:
        """One that is loaded once for all of its tests."""
        found = prepared.extractor
        if represented(found.card):
            found = replace(found, card=replace(found.card, backend="torch", precision="f32"))
        run = watched(found.load(found.card, prepared.weights), changed)
        return kept(found, remembering(run) if represented(found.card) else run)

    @pytest.fixture(scope="class")
    @classmethod
    def together(cls, extractor: Extractor) -> pa.Table:
        """The rows of all its contents at once."""
        card = extractor.card
        return rows(extractor, datas(card)[:2] if represented(card) else datas_for(card))

    @pytest.fixture
    def anywhere(self, prepared: Ready) -> Iterator[Ready]:
        name = prepared.extractor.card.name
        with nullcontext(prepared) if prepared.anywhere else ready(name, anywhere=True) as found:
            yield found

    @pytest.fixture
    def no_sibling(self, card: Card) -> None:
        if represented(card):
            pytest.skip(f"{SIBLINGS[card.name]} proves it; OTZYV_TORTURE=1 runs it")

    @pytest.fixture
    def no_other_compiled(self, card: Card) -> None:
        compiled = card.modality == "image" and card.backend == "openvino"
        if compiled and card.name not in PICTURES and "OTZYV_TORTURE" not in os.environ:
            pytest.skip(f"{', '.join(PICTURES)} prove it; OTZYV_TORTURE=1 runs it")

    @pytest.mark.usefixtures("no_sibling", "no_other_compiled")
    def test_another_process_gives_the_same_bytes(
        self, prepared: Ready, together: pa.Table, another_process: ProcessPoolExecutor
    ) -> None:
        super().test_another_process_gives_the_same_bytes(prepared, together, another_process)


def remembering(run: Run) -> Run:
    """The function, which computes the same contents once."""
    known: dict[bytes, Any] = {}

    def call(given: Sequence[Any]) -> Any:
        asked = hashlib.sha256(b"".join(np.asarray(content).tobytes() for content in given)).digest()
        if asked not in known:
            known[asked] = run(given)
        return known[asked]

    return call


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


def test_fingerprints_and_tables_are_told_apart() -> None:
    cards = [get(name).card for name in shipped()]
    assert len({card.fingerprint() for card in cards}) == len({card.table.name for card in cards}) == len(cards)


@pytest.mark.parametrize("modality", ["plain", "image", "audio"])
def test_every_modality_has_an_extractor_that_needs_no_download(modality: str) -> None:
    assert any(get(name).card.modality == modality for name in names("embedded"))
