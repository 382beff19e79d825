"""Readers see what belongs together: no table of a day goes on beside reviews it was not made of."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

import pytest

from schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from tasks.clean import CLEANING
from tasks.features import make
from tasks.lake import Lake
from tasks.lake.lake import NotReleased
from tasks.lake.releases import Release, release_day
from tasks.release import _fits
from tests.faults.days import TOY, toy
from tests.tasks.reviews import bring

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path)
    bring(made, {DAY: {"a": "отлично", "b": "ужасно"}})
    make(made, CLEANING, DAY)
    make(made, toy(), DAY)
    release_day(made.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    return made


def clean_and_release(lake: Lake) -> Release | None:
    """What a run does that makes other extractors' tables."""
    make(lake, CLEANING, DAY)
    return release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT], carried=partial(_fits, lake, DAY))


def test_a_table_stays_released_while_it_fits_the_reviews_and_no_longer(lake: Lake) -> None:
    assert clean_and_release(lake) is None
    bring(lake, {DAY: {"b": "ужасно"}}, edited=1)
    clean_and_release(lake)
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 2, "another state of the review, but the same text"
    bring(lake, {DAY: {"b": "уже лучше"}}, edited=2)
    clean_and_release(lake)
    assert set(lake.frame([DAY], ["reviews"])["text"]) == {"отлично", "уже лучше"}
    with pytest.raises(NotReleased, match=r"text_toy.*2026-03-01.*otzyv features"):
        lake.frame([DAY], ["reviews", "text_toy"])
    make(lake, toy(), DAY)
    release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 2


def test_of_a_day_that_lost_its_last_review_nothing_is_read(lake: Lake) -> None:
    bring(lake, {NEXT: {"a": "отлично", "b": "ужасно"}}, edited=1)
    clean_and_release(lake)
    assert len(lake.frame([DAY], ["reviews", "clean_text"])) == 0
    with pytest.raises(NotReleased, match="text_toy"):
        lake.frame([DAY], ["text_toy"])
    assert make(lake, toy(), DAY).state == "published"
    assert make(lake, toy(), DAY).state == "unchanged"
    release_day(lake.storage, DAY, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])
    assert len(lake.frame([DAY], ["reviews", "text_toy"])) == 0
    assert lake.read(TOY, DAY).num_rows == 0
