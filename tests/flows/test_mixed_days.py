"""An ingest that lands while a day is made never lets readers see two editions of its reviews together."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from otzyv.flows import features as flow
from otzyv.flows.command.main import main
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.fit import fit
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.delta.publish import commit
from otzyv.tasks.lake.records import upsert
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.pipeline import make as task
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.edition import mixed_days
from otzyv.tasks.pipeline.make import make
from tests.faults.editions import DAY, LENGTHS, bring, edition_seen

EXTRACTORS = ("text_lengths", "pca_text_lengths", "image_pixels")
TABLES = frozenset({"reviews", "attachments", "clean_text", *EXTRACTORS})
STEPS: dict[str, tuple[Any, str, int]] = {
    "before the cleaning": (flow, "clean_text", 1),
    "after the cleaning": (flow, "extract", 1),
    "after the texts' features": (flow, "extract", 2),
    "after their components": (flow, "extract", 3),
    "before all is noted": (flow, "record", 1),
    "before the release": (flow, "release", 1),
    **{f"once the inputs of table {n} are read": (task, "publish_days", n) for n in (1, 2, 3, 4)},
    **{f"before the release opens table {n}": (releases, "open_snapshot", n) for n in (1, 2, 3, 4, 5, 6, 7)},
    "before a release's row is added": (releases, "commit_rows", 1),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of one edition, with components fitted on it; nothing is released yet."""
    lake = Lake.create(tmp_path_factory.mktemp("made") / "lake")
    bring(lake, 0)
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        for extractor in (CLEANING, LENGTHS):
            make(lake, extractor, DAY)
        fit.fn(lake.uri, "pca_text_lengths", None, None)
    return lake.storage.root


def known(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(REGISTERED, LENGTHS.card.name, LENGTHS)
    patch.setattr("otzyv.tasks.extractors.vector.pca.DIM", 1)


@pytest.fixture
def lake(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    known(monkeypatch)
    return Lake(shutil.copytree(made, tmp_path / "lake"))


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None], *, always: bool = False) -> Iterator[None]:
    """``act`` is called when the step is reached; ``always``: and each time it is reached again."""
    module, name, left = STEPS[step]
    real = getattr(module, name)

    @wraps(real)
    def wrapped(*given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if not left or (always and left < 0):
            act()
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, wrapped)
        yield
    assert left <= 0, "the step was not reached"


@pytest.mark.parametrize("step", STEPS)
def test_reviews_that_come_in_at_any_step_are_all_seen_or_none(
    lake: Lake, without_prefect: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with at(monkeypatch, step, lambda: bring(lake, 1)):
        report = flow.features.fn(lake.uri, [DAY], EXTRACTORS, again=True)[0]
    assert report.verdict == "released"
    late = step == "before a release's row is added" or step.startswith("before the release opens")
    assert edition_seen(lake, [0, 1]) in [(1, TABLES)] + [(0, TABLES)] * late
    assert list(mixed_days(lake)) == []
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    assert edition_seen(lake, [0, 1]) == (1, TABLES)


def test_a_day_whose_reviews_never_stop_changing_ends_as_superseded_and_readers_keep_what_they_had(
    lake: Lake, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    editions = iter(range(1, 9))
    with at(monkeypatch, "before the release", lambda: bring(lake, next(editions)), always=True):
        assert flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0].verdict == "superseded"
    assert next(editions) == flow.ATTEMPTS + 1
    assert edition_seen(lake, range(9)) == (0, TABLES)
    assert flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0].verdict == "released"
    assert edition_seen(lake, range(9)) == (flow.ATTEMPTS, TABLES)


def test_what_an_ingest_left_half_way_is_not_released_until_it_ends(
    lake: Lake, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]

    def dies(storage: Any, before: Any, *rest: Any, **named: Any) -> Any:
        if before.table.name == "attachments":
            raise OSError("the disk is gone")
        return commit(storage, before, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(upsert, "commit", dies)
        with pytest.raises(OSError, match="the disk is gone"):
            bring(lake, 1)
    assert flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0].verdict == "superseded"
    assert edition_seen(lake, [0, 1]) == (0, TABLES)
    bring(lake, 1)
    assert flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0].verdict == "released"
    assert edition_seen(lake, [0, 1]) == (1, TABLES)


def test_pictures_of_an_ingest_half_way_are_not_released_beside_the_texts_of_before(
    lake: Lake, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("before the release opens table 3", "before the release opens table 4"):
        with at(monkeypatch, step, lambda: bring(lake, 1)):
            assert flow.features.fn(lake.uri, [DAY], ["text_lengths"])[0].verdict in ("released", "unchanged")
        assert edition_seen(lake, [0, 1]) is not None


def test_one_table_made_alone_leaves_out_those_of_older_reviews(lake: Lake, without_prefect: None) -> None:
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    bring(lake, 1)
    assert flow.features.fn(lake.uri, [DAY], ["image_pixels"])[0].verdict == "released"
    assert edition_seen(lake, [0, 1]) == (1, TABLES - {"text_lengths", "pca_text_lengths"})
    assert flow.features.fn(lake.uri, [DAY], ["text_lengths", "pca_text_lengths"])[0].verdict == "released"
    assert edition_seen(lake, [0, 1]) == (1, TABLES)


def test_the_doctor_names_a_released_day_that_mixes_editions_and_what_mends_it(
    lake: Lake, without_prefect: None
) -> None:
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    bring(lake, 1)
    tables = [lake.table(name) for name in TABLES]
    assert release_day(lake.storage, DAY, tables) is not None, "as it was once, unchecked"
    with pytest.raises(AssertionError, match="a mixed day"):
        edition_seen(lake, [0, 1])
    (told,) = mixed_days(lake)
    assert (told.what, told.where) == (
        "mixed day",
        f"{DAY}: clean_text, image_pixels, pca_text_lengths, text_lengths",
    )
    assert (
        told.todo
        == f"otzyv features --lake {lake.uri} --day {DAY} --extractors image_pixels,pca_text_lengths,text_lengths"
    )
    said = CliRunner().invoke(main, ["doctor", "--lake", lake.uri])
    assert said.exit_code == 1
    assert str(DAY) in said.output
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    assert list(mixed_days(lake)) == []


def test_a_table_made_by_other_code_is_not_released_beside_components_of_it(
    lake: Lake, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.features.fn(lake.uri, [DAY], EXTRACTORS)[0]
    newer = replace(LENGTHS, card=replace(LENGTHS.card, version=2))
    monkeypatch.setitem(REGISTERED, LENGTHS.card.name, newer)
    assert flow.features.fn(lake.uri, [DAY], ["text_lengths"])[0].verdict == "released"
    assert edition_seen(lake, [0, 1]) == (0, TABLES - {"pca_text_lengths"})


def test_the_flow_itself_makes_a_day_once_more_and_says_so(
    prefect_server: None, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at(monkeypatch, "after the texts' features", lambda: bring(lake, 1)):
        report = flow.features(lake.uri, [DAY], EXTRACTORS)[0]
    assert report.verdict == "released"
    assert edition_seen(lake, [0, 1]) == (1, TABLES)
    attempts = Counter(lake.read("runs")["table"].to_pylist())
    assert attempts == dict.fromkeys(TABLES - {"reviews", "attachments"}, 2)
