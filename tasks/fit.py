"""Task: let an extractor learn from days of the lake, and keep what it learned there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from prefect import task

from otzyv.schemas.errors import ModelError
from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.extractors import Card, Extractor, get, names
from otzyv.tasks.extractors.fitted import TooLittle, pack
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import Snapshot
from otzyv.tasks.lake.features import artefacts
from otzyv.tasks.lake.features.artefacts import Model
from otzyv.tasks.lake.features.corpus import texts, vectors
from otzyv.tasks.pipeline.configure import in_lake
from otzyv.tasks.pipeline.make import NotMade
from otzyv.tasks.retry import DELAYS, RETRIES, environment_fault

MOST = 100_000
"""Contents that are learned from at most: those whose sha256 comes first, which is as good as drawn by lot."""


class NothingToFit(ModelError, LookupError):
    """The extractor does not learn from a lake."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a fit ended. ``new``: whether no version had these bytes before."""

    model: Model
    new: bool
    seconds: float


@task(
    name="fit",
    task_run_name="fit {name}",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=environment_fault,
)
def fit(lake_uri: str, name: str, from_day: date | None = None, to_day: date | None = None) -> Fitted:
    """Learn from the newest publication of days, released or not, as features read it; of all days if none are given.

    What is learned becomes a candidate, or current if it is the first of its name. The same input gives the same bytes,
    and these change nothing. Raises NothingToFit, TooLittle, and NotMade where a table to learn from is not up to date.
    """
    clock = time.perf_counter()
    lake, extractor = Lake(lake_uri), fitted(name)
    card = in_lake(lake, extractor.card)
    snapshot = lake.snapshot(card.reads.table if card.reads else CLEAN_TEXT)
    days = _days(lake, card, snapshot, from_day, to_day)
    assert extractor.fit is not None
    learned = extractor.fit(card, _contents(lake, card, snapshot, days))
    data = pack(card, learned)
    sha256 = hashlib.sha256(data).hexdigest()
    lake.storage.write_new(artefacts.artefact_path(sha256), data)  # before the row that names it
    fitted_on = {
        "table": snapshot.table.name,
        "table_version": snapshot.version,
        "from": days[0].isoformat(),
        "to": days[-1].isoformat(),
        "days": len(days),
        "rows": sum(file.rows for day in days for file in snapshot.of(day)),
        "most_contents": MOST,
        "version": card.version,
        "settings": dict(card.settings),
        **learned.facts,
    }
    model, new = artefacts.add(lake.storage, name, sha256, fitted_on)
    return Fitted(model, new, time.perf_counter() - clock)


def promote(lake_uri: str, name: str, version: int | None = None) -> Model:
    """Make a version current, by default the newest. Rows made with another one are made again by the next run.

    Raises NothingToFit, and NoModel where there is no such version.
    """
    fitted(name)
    return artefacts.promote(Lake(lake_uri).storage, name, version)


def fitted(name: str) -> Extractor:
    """The extractor of that name, if it is one that learns. Raises NothingToFit."""
    extractor = get(name)
    if extractor.fit is None:
        learning = ", ".join(known for known in names() if get(known).card.fitted)
        raise NothingToFit(
            f"{name} does not learn from a lake; these do: {learning}, and pca_ before any that has one vector"
        )
    return extractor


def _days(lake: Lake, card: Card, snapshot: Snapshot, from_day: date | None, to_day: date | None) -> list[date]:
    there = snapshot.days
    days = [day for day in there if (from_day or day) <= day <= (to_day or day)]
    if not days:
        has = f"it has {there[0]} to {there[-1]}" if there else "it has none"
        raise TooLittle(f"{card.name}: {lake.uri} has no such days of {snapshot.table.name}; {has}")
    if card.reads is not None:
        made_by = dict(card.settings)["reads"]
        others = [day for day in days if any(file.fingerprint != made_by for file in snapshot.of(day))]
        if others:
            raise NotMade(card.name, snapshot.table.name, lake.uri, others[0], others[-1])
    return days


def _contents(lake: Lake, card: Card, snapshot: Snapshot, days: list[date]) -> Iterable[Any]:
    if card.reads is not None:
        return vectors(lake.storage, snapshot, days, MOST)
    return texts(lake.storage, snapshot, days, card.modality, MOST)
