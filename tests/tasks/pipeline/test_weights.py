"""Where a source publishes no whole sha256, a lake holds to the weights it met first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from otzyv.tasks.extractors import Card, Extractor, File, Run, Weights
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.weights import LakeWeights, record, recorded
from otzyv.tasks.models.store import MissingWeights, UnpinnedWeights, WrongWeights, locate
from otzyv.tasks.pipeline import weights
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.configure import configured
from otzyv.tasks.pipeline.make import make
from tests.tasks.reviews import bring

DAYS = (date(2026, 3, 1), date(2026, 3, 2))
UNPUBLISHED = Weights("a source", "r1", "MIT", (File("model.bin", ""), File("config.json", "")))
MINE, OTHER = b"the first weights met", b"other bytes"


def toy(*weights: Weights, version: int = 1) -> Extractor:
    """Its rows are made of the weights' first byte."""

    def load(card: Card, weights: Weights | None) -> Run:
        assert weights is not None
        first = locate(card.name, weights)["model.bin"].read_bytes()[0]
        return lambda texts: np.full((len(texts), 2), first, np.float32)

    return Extractor(
        Card(
            name="text_toy", version=version, modality="plain", doc="a byte", licence="none", source="a test", dim=2,
            weights=weights or (UNPUBLISHED,),
        ),
        load,
    )  # fmt: skip


def put(store: Path, model: bytes) -> None:
    """Both files, as somebody has put them there and allowed them."""
    folder = store / "text_toy"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("model.bin", model), ("config.json", b"{}")):
        (folder / name).write_bytes(content)
        (folder / f"{name}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")


@pytest.fixture
def stores(tmp_path: Path) -> Sequence[Path]:
    """Model stores of two machines: the file of the same name has other bytes on the second."""
    for store, model in ((tmp_path / "one", MINE), (tmp_path / "two", OTHER)):
        put(store, model)
    return tmp_path / "one", tmp_path / "two"


@pytest.fixture
def lake(tmp_path: Path, stores: Sequence[Path], monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("OTZYV_MODELS", str(stores[0]))
    made = Lake.create(tmp_path / "lake")
    bring(made, {day: {f"{day}{n}": f"отлично {n}" for n in range(3)} for day in DAYS})
    for day in DAYS:
        make(made, CLEANING, day)
    return made


def bytes_read(lake: Lake, day: date) -> set[float]:
    return {value for row in lake.read(toy().card.table, day)["embedding"].to_pylist() for value in row}


def test_the_fingerprint_holds_the_bytes_themselves(lake: Lake, stores: Sequence[Path]) -> None:
    run = make(lake, toy(), DAYS[0])
    known = recorded(lake.storage, "text_toy")
    assert known is not None
    assert known.files["model.bin"] == hashlib.sha256(MINE).hexdigest()
    extractor, weights = configured(lake, toy())
    assert weights is not None
    assert [file.sha256 for file in weights.files] == [known.files["model.bin"], known.files["config.json"]]
    assert run.fingerprint == extractor.card.fingerprint(weights) != extractor.card.fingerprint()


def test_other_bytes_are_refused_before_the_first_row(
    lake: Lake, stores: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(lake, toy(), DAYS[0])
    monkeypatch.setenv("OTZYV_MODELS", str(stores[1]))
    place = stores[1] / "text_toy" / "model.bin"
    with pytest.raises(WrongWeights, match=rf"model\.bin.*[Pp]ut it at {place}.*move any other file away"):
        make(lake, toy(), DAYS[1])
    assert not lake.read(toy().card.table, DAYS[1]).num_rows
    assert not lake.storage.files("_staging", recursive=True)
    put(stores[1], MINE)
    assert make(lake, toy(), DAYS[1]).state == "published"
    assert bytes_read(lake, DAYS[1]) == {float(MINE[0])}


def test_weights_that_nobody_allowed_make_no_row_but_those_on_the_lakes_record_do(
    lake: Lake, stores: Sequence[Path]
) -> None:
    def forget() -> None:
        for beside in stores[0].rglob("*.sha256"):
            beside.unlink()

    forget()
    with pytest.raises(UnpinnedWeights, match="--allow-unpinned text_toy"):
        make(lake, toy(), DAYS[0])
    assert not lake.read(toy().card.table, DAYS[0]).num_rows
    put(stores[0], MINE)
    make(lake, toy(), DAYS[0])
    forget()
    assert make(lake, toy(), DAYS[1]).state == "published"


def test_of_two_workers_that_meet_the_lake_at_once_one_wins_and_the_other_holds_to_it(
    lake: Lake, stores: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = weights.pin

    def faster_worker(*given: object, **named: object) -> None:
        monkeypatch.setattr("otzyv.tasks.pipeline.make.pin", hold)
        monkeypatch.setenv("OTZYV_MODELS", str(stores[1]))
        make(lake, toy(), DAYS[0])
        monkeypatch.setenv("OTZYV_MODELS", str(stores[0]))
        hold(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("otzyv.tasks.pipeline.make.pin", faster_worker)
    with pytest.raises(WrongWeights, match="made with these weights alone"):
        make(lake, toy(), DAYS[0])
    assert bytes_read(lake, DAYS[0]) == {float(OTHER[0])}


def test_racing_records_agree(lake: Lake) -> None:
    offered = [LakeWeights("a source", "r1", {"model.bin": f"{n:064x}"}) for n in range(5)]
    with ThreadPoolExecutor(5) as pool:
        held = list(pool.map(lambda mine: record(lake.storage, "net", mine, lambda _: True), offered))
    assert held == [held[0]] * 5
    assert recorded(lake.storage, "net") == held[0]


def test_an_unchanged_day_needs_no_weights_and_reads_none(
    lake: Lake, stores: Sequence[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make(lake, toy(), DAYS[0])
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "an empty store"))
    assert make(lake, toy(), DAYS[0]).state == "unchanged"
    with pytest.raises(MissingWeights, match=r"model\.bin"):
        make(lake, toy(), DAYS[1])


def test_a_card_that_names_other_weights_starts_a_new_record(lake: Lake, stores: Sequence[Path]) -> None:
    first = make(lake, toy(), DAYS[0])
    put(stores[0], OTHER)
    newer = toy(Weights("a source", "r2", "MIT", UNPUBLISHED.files))
    second = make(lake, newer, DAYS[0])
    assert (second.state, second.computed) == ("published", 3)
    assert second.fingerprint != first.fingerprint
    assert bytes_read(lake, DAYS[0]) == {float(OTHER[0])}
    assert make(lake, newer, DAYS[0]).state == "unchanged"


def test_of_several_accepted_weights_a_lake_keeps_to_the_first_used(lake: Lake, stores: Sequence[Path]) -> None:
    known = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    preferred, other = (
        Weights(source, "r1", "MIT", (File("model.bin", hashlib.sha256(model).hexdigest(), bytes=len(model)),
                                      File("config.json", known["config.json"])))
        for source, model in (("the maker", OTHER), ("a mirror", MINE))
    )  # fmt: skip
    make(lake, toy(preferred, other), DAYS[0])
    put(stores[0], OTHER)
    assert make(lake, toy(preferred, other), DAYS[0]).state == "unchanged"
    with pytest.raises(WrongWeights, match="made with these weights alone"):
        make(lake, toy(preferred, other), DAYS[1])
