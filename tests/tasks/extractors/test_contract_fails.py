"""The contract finds what it is there to find: extractors that break one promise each fail the test of that promise."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract import Contract, Promises
from otzyv.tasks.extractors.contract.__main__ import main
from otzyv.tasks.extractors.contract.golden import compared, golden
from otzyv.tasks.extractors.contract.ready import Ready, ready
from otzyv.tasks.extractors.contract.tests import datas_for, kept, rows, watched
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor

CARD = Card(name="text_toy", version=1, modality="text", doc="toy", licence="MIT", source="a test", dim=2)
PROMISES = Promises()
Values = Callable[[Sequence[Any]], Any]


def letters(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text), sum(map(ord, text)) % 1000] for text in texts], np.float32)


def every_promise(card: Card, values: Values) -> None:
    """All tests of ``Promises`` on an extractor, each by itself; the first that fails raises."""
    changed: list[str] = []
    extractor = kept(Extractor(card, lambda card, weights: values), watched(values, changed))
    together = rows(extractor, datas_for(card))
    PROMISES.test_the_card_is_complete(card)
    PROMISES.test_the_fingerprint_is_stable_and_tells_what_decides_the_output(card)
    PROMISES.test_no_content_is_changed(changed)
    PROMISES.test_the_output_is_what_the_card_promises(extractor, together)
    PROMISES.test_not_all_contents_have_the_same_features(together)
    PROMISES.test_a_row_is_the_same_alone_and_in_any_company(extractor, together)
    PROMISES.test_hostile_company_changes_no_good_row(extractor, together)


def test_a_good_one_passes_and_no_promise_is_left_out() -> None:
    every_promise(CARD, letters)
    tests = {name for name in dir(Promises) if name.startswith("test_")}
    assert tests == {name for name in every_promise.__code__.co_names if name.startswith("test_")}


def noisy(texts: Sequence[str]) -> np.ndarray:
    return letters(texts) + np.random.default_rng().random((len(texts), 2), np.float32)


def infinite(texts: Sequence[str]) -> np.ndarray:
    return np.full_like(letters(texts), np.inf)


def refuses_signs(texts: Sequence[str]) -> np.ndarray:
    if any("💥" in text for text in texts):
        raise ValueError("a sign")
    return letters(texts)


def upset_by_length(texts: Sequence[str]) -> np.ndarray:
    return letters(texts) + (max(map(len, texts)) > 10_000)


def named(texts: Sequence[str]) -> pa.RecordBatch:
    return pa.record_batch({"mood": ["fine" if len(text) > 20 else "odd" for text in texts]})


MOOD = replace(CARD, dim=None, columns=(
    Column(name="mood", type=pa.string(), required=False, value=True, labels=("fine", "bad"), doc="mood"),
))  # fmt: skip
BROKEN: dict[str, tuple[Card, Values, str]] = {
    "length": (CARD, lambda texts: letters(texts)[:, :1], "float32"),
    "rows": (CARD, lambda texts: letters(texts)[1:], "float32"),
    "dtype": (CARD, lambda texts: letters(texts).astype(np.float64), "float64"),
    "columns": (replace(CARD, dim=None, columns=MOOD.columns), letters, "the columns mood"),
    "labels": (MOOD, named, "odd"),
    "not finite": (CARD, infinite, "invalid"),
    "length 1": (replace(CARD, unit=True), letters, "Not equal to tolerance"),
    "order": (CARD, lambda texts: letters(texts)[::-1], "Not equal to tolerance"),
    "company": (CARD, lambda texts: letters(texts) - letters(texts).mean(0), "Not equal to tolerance"),
    "chance": (CARD, noisy, "Not equal to tolerance"),
    "all the same": (CARD, lambda texts: np.ones((len(texts), 2), np.float32), "equal for all contents"),
    "a hostile text": (CARD, refuses_signs, "ValueError"),
    "a long text": (replace(CARD, limit=300_000), upset_by_length, "Not equal to tolerance"),
    "no doc": (replace(CARD, doc=""), letters, "doc"),
    "no licence": (replace(CARD, licence=""), letters, "licence"),
    "no value column": (
        replace(CARD, dim=None, columns=(Column(name="mood", type=pa.string(), doc="mood"),)),
        lambda texts: named(texts), "value=True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_found(case: str) -> None:
    card, values, said = BROKEN[case]
    with pytest.raises((AssertionError, ExtractorFailed), match=said):
        every_promise(card, values)


def test_an_extractor_that_writes_into_its_contents_is_found() -> None:
    changed: list[str] = []

    def brighter(pictures: Sequence[np.ndarray]) -> np.ndarray:
        for picture in pictures:
            picture[0, 0] += 1
        return np.ones((len(pictures), 2), np.float32)

    watched(brighter, changed)([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)])
    with pytest.raises(AssertionError):
        PROMISES.test_no_content_is_changed(changed)
    assert changed == ["content 0 of 2", "content 1 of 2"]


def test_golden_values_are_required_written_by_the_command_and_hold_their_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def registered(card: Card, values: Values) -> None:
        monkeypatch.setitem(REGISTERED, "text_toy", Extractor(card, lambda card, weights: values))

    class Toy(Contract):
        golden = tmp_path

    def held() -> None:
        with ready("text_toy") as prepared:
            loaded = kept(prepared.extractor, prepared.load())
            Toy().test_values_change_with_the_fingerprint_alone(prepared, prepared, loaded)

    command = f"python -m otzyv.tasks.extractors.contract text_toy --folder {tmp_path}"
    registered(CARD, letters)
    with ready("text_toy") as prepared:
        assert compared("text_toy", golden(prepared), tmp_path) == (
            f"text_toy has no golden values: make them with `{command}`"
        )
    with pytest.raises(AssertionError):
        held()
    done = CliRunner().invoke(main, ["text_toy", "--folder", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, "text_toy.json: 5 rows\n")
    held()
    said = json.loads((tmp_path / "text_toy.json").read_text())
    assert said["fingerprint"] == CARD.fingerprint()
    assert [row["embedding"]["size"] for row in said["rows"]] == [2] * 5

    registered(CARD, lambda texts: letters(texts) * 1.01)
    with pytest.raises(AssertionError):
        held()
    refused = CliRunner().invoke(main, ["text_toy", "--folder", str(tmp_path)])
    assert refused.exit_code == 1
    assert "raise the version on its card, then run" in refused.output
    assert json.loads((tmp_path / "text_toy.json").read_text()) == said

    registered(replace(CARD, version=2), lambda texts: letters(texts) * 1.01)
    with pytest.raises(AssertionError):
        held()
    assert CliRunner().invoke(main, ["text_toy", "--folder", str(tmp_path)]).exit_code == 0
    held()


def test_one_that_learns_is_fitted_on_texts_of_the_contract() -> None:
    with ready("text_tfidf") as prepared:
        assert (prepared.what, isinstance(prepared, Ready)) == ("fitted", True)
        assert rows(kept(prepared.extractor, prepared.load()), datas_for(prepared.extractor.card)).num_rows == 4
