"""Task: go on training an encoder on the lake's reviews, and put it into the model store as an extractor."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock
from prefect import task

from otzyv.schemas.errors import ModelError
from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.extractors import Card, Weights, get, names
from otzyv.tasks.extractors.custom.adapted import ADAPTED, read
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.corpus import texts
from otzyv.tasks.models import store
from otzyv.tasks.pipeline.progress import report_progress
from otzyv.tasks.training.masked_language import FILES, Curve, Point, Training, plot, save, train

_NAME = re.compile(r"text_[a-z0-9_]{1,50}")
MOST = 100_000
"""Texts that are learned from at most: those whose sha256 comes first."""
PLOT = "perplexity.svg"


class NotAdaptable(ModelError, LookupError):
    """What was named can't be trained on, or the new name can't be had."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """An extractor that was made. ``new``: whether this call trained it, or it was there, from the same job."""

    name: str
    base: str
    folder: Path
    curve: Curve
    new: bool

    @property
    def plot(self) -> Path:
        return self.folder / PLOT


@task(name="adapt", task_run_name="adapt {base}")
def adapt(
    lake_uri: str,
    base: str,
    name: str | None = None,
    from_day: date | None = None,
    to_day: date | None = None,
    training: Training | None = None,
) -> Adapted:
    """Train on the distinct texts of days of ``clean_text``, of all days if none are given.

    The extractor ``name`` (by default the base's with ``_adapted``) then lies in the model store beside its plot and a
    record of what made it. Killed, it goes on from its last checkpoint when it is asked for the same again; done, the
    same again changes nothing. Raises NotAdaptable; TooLittle; MissingWeights and WrongWeights of the base.
    """
    lake, training = Lake(lake_uri), training or Training()
    card, weights = adaptable(base)
    name = name or f"{base}_adapted"
    if not _NAME.fullmatch(name):  # before it is a folder's
        raise NotAdaptable(f"can't name the adapted model {name!r}: text_, and then at most 50 of a-z, 0-9 and _")
    files = store.locate(card.name, weights)
    snapshot = lake.snapshot(CLEAN_TEXT)
    days = [day for day in snapshot.days if (from_day or day) <= day <= (to_day or day)]
    learned = texts(lake.storage, snapshot, days, "text", MOST)
    job = _job(card, weights, learned, training)
    folder = store.root() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{name}.lock")):
        if (known := read(folder)) and known.job == job:
            return Adapted(name, base, folder, _curve(known.curve), new=False)
        if folder.exists() or name in names():
            raise NotAdaptable(
                f"can't name the adapted model {name!r}: give another --name, which is no extractor's yet, nor a "
                f"folder's in the model store ({store.root()})"
            )
        work = folder.with_name(f".{name}.{job[:16]}")
        shorter = min(training.max_tokens, dict(card.settings)["max_tokens"])

        def progress(done: int, total: int) -> None:
            report_progress(name, days[-1:], done, total)

        model, curve = train(card, files, learned, work, replace(training, max_tokens=shorter), progress)
        part = work / "part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save(model, files, part)
        (part / PLOT).write_text(plot(curve, f"{name}, from {base}"), encoding="utf-8")
        record = {
            "job": job,
            "base": base,
            "licence": weights.licence,
            "pooling": dict(card.settings)["pooling"],
            "max_tokens": dict(card.settings)["max_tokens"],
            "training": asdict(training),
            "lake": lake.uri,
            "days": [days[0].isoformat(), days[-1].isoformat()],
            "curve": asdict(curve),
            "files": {file: [store.sha256(part / file), (part / file).stat().st_size] for file in FILES},
        }
        (part / ADAPTED).write_text(json.dumps(record, indent=1), encoding="utf-8")
        part.rename(folder)
        shutil.rmtree(work)
    return Adapted(name, base, folder, curve, new=True)


def adaptable(base: str) -> tuple[Card, Weights]:
    """The card and weights of an encoder of texts. Raises NotAdaptable for any other extractor."""
    card = get(base).card
    weights = store.choose(card)
    if weights is None or {file.name for file in weights.files} != {*FILES} or "pooling" not in dict(card.settings):
        fit = [name for name in names() if _fits(get(name).card)]
        raise NotAdaptable(f"{base} is no encoder of texts that could learn on; these are: {', '.join(fit)}")
    return card, weights


def _fits(card: Card) -> bool:
    return "pooling" in dict(card.settings) and any({f.name for f in w.files} == {*FILES} for w in card.weights)


def _job(card: Card, weights: Weights, learned: list[str], training: Training) -> str:
    """What decides the outcome, as 64 hex digits."""
    said = [card.identity(weights), asdict(training)]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for text in learned:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def _curve(said: Mapping[str, Any]) -> Curve:
    return Curve(**{**said, "points": tuple(Point(**point) for point in said["points"])})
