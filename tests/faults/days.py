"""Two days of reviews in editions, the whole way into a lake: what each edition leaves, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

import numpy as np
import pytest

from otzyv.schemas.table import Table
from otzyv.schemas.tables import CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors import Card, Extractor, Run, Weights
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features import row_cache
from otzyv.tasks.lake.lake import NotReleased
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.pipeline import make as making
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.forget import forget
from otzyv.tasks.pipeline.make import TableRun, make
from tests.tasks.reviews import bring

DAYS = (date(2026, 3, 1), date(2026, 3, 2))
REVIEWS_OF_A_DAY = 24
State = Mapping[date, Mapping[str, object]]
"""Day -> review_id -> what stands of it."""


def texts(edition: int) -> dict[date, dict[str, str]]:
    """Each edition changes every third text, and one review is in another day than in the edition before."""
    found = {
        day: {f"{day}/{n}": f"отзыв {n}" + f", правка {edition}" * (n % 3 == 0) for n in range(REVIEWS_OF_A_DAY)}
        for day in DAYS
    }
    found[DAYS[edition % 2]]["the one that moves"] = "переезжает"
    return found


def toy(version: int = 1) -> Extractor:
    """Writes each text's length and its own version."""

    def load(card: Card, weights: Weights | None) -> Run:
        def run(contents: Sequence[str]) -> np.ndarray:
            return np.array([[len(text), card.version] for text in contents], np.float32)

        return run

    return Extractor(
        Card(name="text_toy", version=version, modality="plain", doc="lengths", licence="none", source="a test", dim=2),
        load,
    )


TOY = toy().card.table
TABLES: tuple[Table, ...] = (REVIEWS, CLEAN_TEXT, TOY)


def bring_and_make(uri: str, edition: int) -> list[TableRun]:
    """The whole way of an edition: ingest, cleaning, features in several chunks, release of both days."""
    making.extract = partial(extract, chunk_rows=7)  # type: ignore[attr-defined]
    lake = Lake.create(uri)
    bring(lake, texts(edition), edited=edition)
    runs = []
    for day in DAYS:
        runs += [make(lake, CLEANING, day), make(lake, toy(), day)]
        release_day(lake.storage, day, TABLES)
    return runs


def make_alone(uri: str, version: int) -> TableRun:
    """Code of that version makes the first day of the toy's table."""
    return make(Lake(uri), toy(version), DAYS[0])


def expected(edition: int) -> State:
    """What the toy's table holds after an edition."""
    plain = {day: {key: text.replace(",", "") for key, text in found.items()} for day, found in texts(edition).items()}
    return {day: {key: [float(len(text)), 1.0] for key, text in found.items()} for day, found in plain.items()}


def published(lake: Lake, table: Table = TOY) -> State:
    """The newest publication, every row of it; a key that stands twice is an AssertionError."""
    rows = lake.read(table).to_pylist()
    found: dict[date, dict[str, object]] = {day: {} for day in DAYS}
    for row in rows:
        assert row["review_id"] not in found[row["day"]], "a row is doubled"
        found[row["day"]][row["review_id"]] = row["embedding"] if table is TOY else row["text"]
    return found


def released(lake: Lake, day: date) -> tuple[dict[str, str], dict[str, object]] | None:
    """What readers see of a day, texts and features; None before its first release."""
    try:
        frame = lake.frame([day], ["reviews", "text_toy"])
    except NotReleased:
        return None
    assert frame["review_id"].is_unique
    vectors = (None if vector is None else list(vector) for vector in frame["text_toy.embedding"])
    return (
        dict(zip(frame["review_id"], frame["reviews.text"], strict=True)),
        dict(zip(frame["review_id"], vectors, strict=True)),
    )


def check_whole(lake: Lake, editions: Sequence[int], *, fresh: bool = False) -> None:
    """Every table is as some edition left it, and readers see one edition of a day: nothing torn, doubled or lost.

    ``fresh``: no run has ended yet, so that nothing need be there.
    """
    empty: State = {day: {} for day in DAYS}
    known = [expected(edition) for edition in editions]
    assert published(lake, REVIEWS) in [texts(edition) for edition in editions] + [empty] * fresh
    for day in DAYS:
        assert published(lake)[day] in [state[day] for state in known] + [{}] * fresh
        seen = released(lake, day)
        assert (fresh and seen is None) or seen in [
            (texts(e)[day], state[day]) for e, state in zip(editions, known, strict=True)
        ]


def check_done(lake: Lake, edition: int) -> None:
    """The edition stands, is released, and is found unchanged; what dead runs staged goes once it is old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_cache, "KEPT", -1.0)
        runs = bring_and_make(lake.uri, edition)
    assert {run.state for run in runs} == {"unchanged"}
    assert published(lake, REVIEWS) == texts(edition)
    assert published(lake) == expected(edition)
    for day in DAYS:
        assert released(lake, day) == (texts(edition)[day], expected(edition)[day])
    assert not lake.storage.files("_staging", recursive=True)


FORGOTTEN = f"{DAYS[0]}/3"


def forget_one(uri: str, _: int) -> list[TableRun]:
    """Make the lake forget a review of the first day."""
    forget(uri, "a key of tests", review=FORGOTTEN)
    return []
