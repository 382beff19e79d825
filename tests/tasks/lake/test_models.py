"""One version of a model is in use at a time, whoever fits and promotes at once."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otzyv.schemas.checks import check
from otzyv.schemas.tables import MODELS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.storage import DamagedFile, Storage
from otzyv.tasks.lake.features.artefacts import NoModel, add, artefact_path, behind, current, identity_path, promote


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Lake.create(tmp_path).storage


def states(storage: Storage, name: str = "text_tfidf") -> dict[int, str]:
    rows = Lake(storage.uri).read(MODELS).to_pylist()
    return {row["version"]: row["state"] for row in rows if row["name"] == name}


def test_the_first_fit_is_current_at_once_and_the_next_ones_once_promoted(storage: Storage) -> None:
    assert current(storage, "text_tfidf") is None
    add(storage, "text_count", "c" * 64, {})
    for sha in "abc":
        storage.write(artefact_path(sha * 64), b"learned")
        add(storage, "text_tfidf", sha * 64, {"rows": 3, "settings": {"vocabulary": 5}})
    assert states(storage) == {1: "current", 2: "candidate", 3: "candidate"}
    assert promote(storage, "text_tfidf", 2).sha256 == "b" * 64
    assert states(storage) == {1: "retired", 2: "current", 3: "candidate"}
    assert promote(storage, "text_tfidf").version == 3
    assert promote(storage, "text_tfidf", 1).version == 1
    assert states(storage) == {1: "current", 2: "retired", 3: "retired"}
    found = current(storage, "text_tfidf")
    assert found is not None
    assert (found.version, found.fitted_on["rows"]) == (1, 3)
    assert states(storage, "text_count") == {1: "current"}
    assert check(MODELS, Lake(storage.uri).read(MODELS)).ok


def test_what_is_known_already_writes_nothing(storage: Storage) -> None:
    first, new = add(storage, "text_tfidf", "a" * 64, {"days": 1})
    assert new
    add(storage, "text_tfidf", "b" * 64, {"days": 2})
    version = Lake(storage.uri).snapshot(MODELS).version
    assert add(storage, "text_tfidf", "a" * 64, {"days": 1}) == (first, False)
    assert promote(storage, "text_tfidf", 1) == first
    assert Lake(storage.uri).snapshot(MODELS).version == version


def test_fits_and_promotions_at_once_leave_one_current_and_lose_none(storage: Storage) -> None:
    with ThreadPoolExecutor(4) as pool:
        fitted = list(pool.map(lambda n: add(storage, "text_tfidf", f"{n:064x}", {"n": n})[0], range(6)))
        assert sorted(model.version for model in fitted) == [1, 2, 3, 4, 5, 6]
        assert [model.state for model in fitted].count("current") == 1
        list(pool.map(lambda n: promote(storage, "text_tfidf", n), (2, 5, 3, 6)))
    assert sorted(states(storage)) == [1, 2, 3, 4, 5, 6]
    assert list(states(storage).values()).count("current") == 1


def test_what_a_fingerprint_was_made_of_is_followed_to_its_end(storage: Storage) -> None:
    def note(reads: list[str]) -> str:
        told = json.dumps({"settings": [["reads", sha] for sha in reads]}).encode()
        storage.write(identity_path(sha := hashlib.sha256(told).hexdigest()), told)
        return sha

    ends = ["c" * 64, "d" * 64]
    between = note(ends)
    first = note([between])
    assert behind(storage, [first]) == {first, between, *ends}
    with pytest.raises(FileNotFoundError):
        behind(storage, [first, "c" * 64])
    path = identity_path(first)
    storage.write(path, storage.read(path).replace(b"reads", b"seads"))
    with pytest.raises(DamagedFile, match=path):
        behind(storage, [first])


def test_errors_say_what_there_is(storage: Storage) -> None:
    add(storage, "text_count", "a" * 64, {})
    with pytest.raises(NoModel, match=r"'text_tfidf'.* there are: text_count"):
        promote(storage, "text_tfidf")
    with pytest.raises(NoModel, match=r"no version 4 .* it has: 1"):
        promote(storage, "text_count", 4)
