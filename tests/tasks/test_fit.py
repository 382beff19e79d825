"""Fitting in a lake: the first version is in use at once, later ones once promoted, and rows follow what is in use."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.contract.contents import TEXTS
from otzyv.tasks.extractors.fitted import NeverFitted, OutOfDate, TooLittle
from otzyv.tasks.fit import Fitted, NothingToFit, fit, promote
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig
from otzyv.tasks.lake.features.artefacts import NoModel, artefact_path, identity_path
from otzyv.tasks.lake.features.corpus import texts
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.lake.upkeep.doctor import examine
from otzyv.tasks.lake.upkeep.maintain import Keep, maintain
from otzyv.tasks.models.store import MissingWeights, root
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.configure import configured
from otzyv.tasks.pipeline.edition import stands
from otzyv.tasks.pipeline.make import NotMade, TableRun, make
from otzyv.tasks.record import record
from tests.tasks.reviews import bring

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
WORDS = ["курс", "лекция", "задача", "видео", "преподаватель", "задание", "отзыв", "проверка", "сертификат", "деньги"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two days, the first with 40 reviews of words in common and one without text."""
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    made = Lake.create(tmp_path / "lake", LakeConfig(precision="f32"))
    first = {f"r{n:02}": f"{WORDS[n % 10]} {WORDS[n * 7 // 10 % 10]} {WORDS[(n + 3) % 10]} {n}" for n in range(40)}
    bring(made, {FIRST: {**first, "silent": None}, SECOND: dict(zip("abcd", TEXTS, strict=True))})
    for day in (FIRST, SECOND):
        make(made, CLEANING, day)
    return made


def learn(lake: Lake, name: str, *days: date) -> Fitted:
    return fit.fn(lake.uri, name, *days)


def features(lake: Lake, name: str, day: date = FIRST) -> TableRun:
    return make(lake, get(name), day)


def rows(lake: Lake, name: str, day: date = FIRST) -> list[dict[str, object]]:
    found: list[dict[str, object]] = lake.read(get(name).card.table, day).sort_by("review_id").to_pylist()
    return found


def test_rows_are_made_by_the_version_in_use_and_anew_once_another_is_promoted(lake: Lake) -> None:
    with pytest.raises(NeverFitted, match=f"`otzyv fit text_tfidf --lake {lake.uri} --from DAY --to DAY`"):
        features(lake, "text_tfidf")
    first = learn(lake, "text_tfidf", FIRST, FIRST)
    assert (first.model.version, first.model.state, first.new) == (1, "current", True)
    made = features(lake, "text_tfidf")
    assert (made.state, made.computed, made.status) == ("published", 41, {"ok": 40, "empty": 1})
    second = learn(lake, "text_tfidf")
    assert (second.model.version, second.model.state) == (2, "candidate")
    assert second.model.sha256 != first.model.sha256
    assert features(lake, "text_tfidf").state == "unchanged", "a candidate changes nothing"
    assert promote(lake.uri, "text_tfidf").version == 2
    again = features(lake, "text_tfidf")
    assert (again.state, again.computed) == ("published", 40)
    assert again.fingerprint != made.fingerprint
    _, weights = configured(lake, get("text_tfidf"))
    assert weights is not None
    assert weights.files[0].sha256 == second.model.sha256
    promote(lake.uri, "text_tfidf", 1)
    assert features(lake, "text_tfidf").fingerprint == made.fingerprint


def test_fitting_again_on_the_same_input_makes_no_version(lake: Lake) -> None:
    first = learn(lake, "text_count", FIRST, FIRST)
    on = first.model.fitted_on
    assert {name: on[name] for name in ("table", "from", "to", "days", "rows", "texts")} == {
        "table": "clean_text", "from": "2026-03-01", "to": "2026-03-01", "days": 1, "rows": 41, "texts": 40,
    }  # fmt: skip
    assert on["table_version"] == lake.snapshot(CLEAN_TEXT).version
    assert on["settings"] == dict(get("text_count").card.settings)
    before = sorted(path.relative_to(lake.uri) for path in Path(lake.uri).rglob("*"))
    second = learn(lake, "text_count", FIRST, FIRST)
    assert (second.model, second.new) == (first.model, False)
    assert sorted(path.relative_to(lake.uri) for path in Path(lake.uri).rglob("*")) == before


def test_what_is_learned_comes_from_the_lake_wherever_it_is_used(lake: Lake) -> None:
    model = learn(lake, "text_onehot", FIRST, FIRST).model
    assert features(lake, "text_onehot").state == "published"
    copy = root() / "text_onehot" / f"{model.sha256}.safetensors"
    copy.write_bytes(b"damaged on this machine")
    assert features(lake, "text_onehot", SECOND).state == "published", "it is copied from the lake again"
    copy.unlink()
    lake.storage.delete(artefact_path(model.sha256))
    bring(lake, {SECOND: {"new": "курс"}}, edited=1)
    make(lake, CLEANING, SECOND)
    with pytest.raises(MissingWeights, match="`otzyv fit text_onehot"):
        features(lake, "text_onehot", SECOND)
    assert learn(lake, "text_onehot", FIRST, FIRST).model == model
    assert features(lake, "text_onehot", SECOND).state == "published"


def test_what_a_retired_fit_learned_stays_while_rows_made_with_it_can_be_seen(lake: Lake) -> None:
    def make_and_release() -> None:
        runs = [make(lake, CLEANING, FIRST), features(lake, "text_count")]
        assert runs[-1].state == "published"
        record.fn(lake.uri, runs)
        release_day(lake.storage, FIRST, tables)

    def removed(**keep: int) -> list[str]:
        before = lake.storage.files("artefacts")
        for path in Path(lake.uri).rglob("*"):
            os.utime(path, (1, 1))
        done = maintain(lake, Keep(**{"releases": 2, "days": 0, **keep}))
        left = lake.storage.files("artefacts")
        assert done.artefacts == len(before) - len(left)
        return sorted({*before} - {*left})

    tables = [REVIEWS, ATTACHMENTS, CLEAN_TEXT, get("text_count").card.table]
    first, second, _ = (learn(lake, "text_count", *days).model for days in ((FIRST, FIRST), (), (SECOND, SECOND)))
    features(lake, "text_count")
    promote(lake.uri, "text_count", second.version)
    assert removed() == [], "its rows stand"
    release_day(lake.storage, FIRST, tables)
    make_and_release()
    assert removed() == [], "its rows are in a release that is kept"
    assert removed(releases=1) == [], "a reader may have just opened that release"
    assert removed(releases=1) == [artefact_path(first.sha256)], "not of the one in use, nor of a candidate"
    assert list(examine(lake)) == []
    again = f"otzyv fit text_count --lake {lake.uri} --from {FIRST} --to {FIRST}"
    with pytest.raises(NoModel, match=f"version 1 .*{again}"):
        promote(lake.uri, "text_count", first.version)
    assert learn(lake, "text_count", FIRST, FIRST).model.version == first.version
    assert promote(lake.uri, "text_count", first.version).sha256 == first.sha256
    make_and_release()
    lake.storage.delete(identity_path(str(lake.releases()[FIRST].table("text_count").fingerprint)))
    assert removed(releases=1) == removed(releases=1) == [], "what rows were made with can't be told"


def test_principal_components_follow_the_table_that_they_are_of(lake: Lake) -> None:
    name = "pca_text_navec"
    with pytest.raises(TooLittle, match="no such days of text_navec"):
        learn(lake, name)
    features(lake, "text_navec")
    share = learn(lake, name).model.fitted_on["explained_variance"]
    assert 0.9 < share <= 1, "30 words lie in fewer dimensions than 32"
    assert features(lake, name).status == {"ok": 40, "empty": 1}
    assert features(lake, name).state == "unchanged"
    for ours, theirs in zip(rows(lake, name), rows(lake, "text_navec"), strict=True):
        assert (ours["review_id"], ours["content_sha256"], ours["status"]) == (
            theirs["review_id"], theirs["content_sha256"], theirs["status"],
        )  # fmt: skip
        assert (ours["embedding"] is None) == (ours["status"] == "empty")
    near = np.array([row["embedding"] for row in rows(lake, name) if row["embedding"]])
    far = np.array([row["embedding"] for row in rows(lake, "text_navec") if row["embedding"]])
    centred = near - near.mean(axis=0), far - far.mean(axis=0)
    ours, theirs = (vectors @ vectors.T for vectors in centred)
    assert np.square(ours - theirs).sum() < 0.05 * np.square(theirs).sum(), "distances are kept"


def test_components_of_a_table_that_is_behind_are_refused(lake: Lake) -> None:
    name = "pca_text_navec"
    features(lake, "text_navec")
    learn(lake, name)
    features(lake, name)
    with pytest.raises(NotMade, match=r"text_navec, which is not up to date.*--from 2026-03-02.*--extractors text_nav"):
        features(lake, name, SECOND)
    bring(lake, {FIRST: {"r00": "совсем другое"}}, edited=1)
    make(lake, CLEANING, FIRST)
    with pytest.raises(NotMade, match="--from 2026-03-01 --to 2026-03-01"):
        features(lake, name)
    features(lake, "text_navec")
    assert features(lake, name).computed == 1


def test_components_of_another_models_vectors_are_refused_until_fitted_again(lake: Lake) -> None:
    source, name = "text_word2vec", "pca_text_word2vec"
    learn(lake, source, FIRST, FIRST)
    features(lake, source)
    learn(lake, name)
    before = features(lake, name).fingerprint
    learn(lake, source)
    promote(lake.uri, source)
    with pytest.raises(NotMade, match="text_word2vec, which is not up to date"):
        features(lake, name)
    features(lake, source)
    with pytest.raises(OutOfDate, match=f"`otzyv fit {name}"):
        features(lake, name)
    learn(lake, name)
    promote(lake.uri, name)
    again = features(lake, name)
    assert (again.state, again.computed) == ("published", 40)
    assert again.fingerprint != before


def test_components_stay_released_while_their_table_fits_the_reviews(lake: Lake) -> None:
    name = "pca_text_navec"
    features(lake, "text_navec")
    learn(lake, name)
    features(lake, name)
    tables = [REVIEWS, ATTACHMENTS, CLEAN_TEXT, get("text_navec").card.table, get(name).card.table]
    release = release_day(lake.storage, FIRST, tables)
    assert release is not None
    assert stands(lake, FIRST).fits(release.table(name))
    bring(lake, {FIRST: {"r00": "совсем другое"}}, edited=1)
    make(lake, CLEANING, FIRST)
    assert not stands(lake, FIRST).fits(release.table(name))


def test_what_a_fit_reads_does_not_depend_on_days_and_is_cut_by_lot(lake: Lake) -> None:
    snapshot = lake.snapshot(CLEAN_TEXT)
    both = texts(lake.storage, snapshot, [SECOND, FIRST], "plain", 100)
    assert both == texts(lake.storage, snapshot, [FIRST, SECOND], "plain", 100)
    assert len(both) == len(set(both)) == 44
    assert texts(lake.storage, snapshot, [FIRST, SECOND], "plain", 10) == both[:10]


def test_one_that_does_not_learn_is_told_with_those_that_do(lake: Lake) -> None:
    for call in (learn, lambda lake, name: promote(lake.uri, name)):
        with pytest.raises(NothingToFit, match=r"sentiment_mini does not learn .* text_tfidf, text_.* text_word2vec"):
            call(lake, "sentiment_mini")
    with pytest.raises(TooLittle, match="it has 2026-03-01 to 2026-03-02"):
        learn(lake, "text_tfidf", date(2030, 1, 1), date(2030, 1, 2))
