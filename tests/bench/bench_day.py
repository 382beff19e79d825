"""A whole day through the real ingest and features: its peak memory with ten times the rows, and its second run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from unittest.mock import patch

from pydantic import SecretStr

from otzyv.flows.run import RunReport, run
from otzyv.tasks.extractors import Card, Extractor, Run, Weights, get
from otzyv.tasks.extractors.extractor import REGISTERED, Loader
from otzyv.tasks.pipeline.ingest import Source
from tests.bench.bench_images import photographs
from tests.bench.figure import Figure
from tests.bench.process import peak, tell_peak
from tests.tasks.extractors.networks import random_weights

DAY = date(2026, 3, 1)
EXTRACTORS = ("sentiment_mini", "text_navec")
ROWS = 5_000
PROFILE = (*EXTRACTORS, "text_rubert_tiny2", "image_layout", "image_resnet50")
REVIEWS, IMAGES = 2_000, 333
KEY = SecretStr("a benchmark's key, of no use elsewhere")
_SYLLABLES = ("ка", "ро", "ле", "ми", "то", "пре", "ста", "ну", "зад", "курс", "лек", "ци", "от", "лич", "но", "ый")


def figures() -> Iterator[Figure]:
    yield _again()
    day, ten = (peak(__name__, str(rows)) for rows in (ROWS, 10 * ROWS))
    yield Figure(
        "peak memory of a day with ten times the rows",
        ten / day,
        "<= 1.1",
        f"ingest, cleaning, {', '.join(EXTRACTORS)}, release: {ROWS:,} reviews {day / 2**20:.0f} MiB, "
        f"{10 * ROWS:,} reviews {ten / 2**20:.0f} MiB, imports and weights included",
    )


def write_reviews(path: Path, rows: int, *, images: int = 0, day: date = DAY, edited: int = 0) -> None:
    """Reviews of one day with texts of very different lengths.

    The first of them have an image each, and the first ``edited`` have another text than without.
    """
    chance = random.Random(str(day))
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(5_000)]
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            text = " ".join(chance.choices(words, k=max(3, round(chance.lognormvariate(3.2, 0.8)))))
            if number < edited:
                text = f"исправлено {text}"
            review = {
                "review_id": f"{day}-{number:08d}", "text": f"{text.capitalize()}.", "created_at": f"{day}T12:00:00Z",
                "updated_at": f"{day}T{13 if number < edited else 12}:00:00Z",
                "rating": chance.randint(1, 5), "author": f"author {number % 1000}", "course_id": f"c{number % 50}",
                "attachments": [{"kind": "image", "uri": f"images/{number}.jpg"}] if number < images else [],
            }  # fmt: skip
            stream.write(json.dumps(review, ensure_ascii=False) + "\n")


def make_day(lake: Path, source: Path, extractors: Sequence[str] = EXTRACTORS) -> RunReport:
    report = run(str(lake), extractors, source=Source(str(source)), author_key=KEY)
    if report.failed:
        raise RuntimeError("; ".join(report.failed))
    return report


def _again() -> Figure:
    """The second run of a day in which nothing changed, in a process that is warm."""
    with tempfile.TemporaryDirectory() as folder, random_networks(Path(folder) / "models") as loads:
        place = Path(folder)
        write_photographs(place / "images", IMAGES)
        write_reviews(place / "warm.jsonl", 12, images=2)
        write_reviews(place / "reviews.jsonl", REVIEWS, images=IMAGES)
        for _ in range(2):
            make_day(place / "warm", place / "warm.jsonl", PROFILE)
        first = make_day(place / "lake", place / "reviews.jsonl", PROFILE)
        before, loaded = _versions(place / "lake"), len(loads)
        more = [make_day(place / "lake", place / "reviews.jsonl", PROFILE) for _ in range(3)]
        written = len(_versions(place / "lake") - before)
    second = statistics.median(report.seconds for report in more)
    computed = [sum(table.computed for day in report.days for table in day.tables) for report in (first, *more)]
    return Figure(
        "second run over an unchanged day, of the first run's time",
        100 * second / first.seconds,
        "<= 0.5",
        f"{REVIEWS:,} reviews, {IMAGES} photographs; {', '.join(PROFILE)}; networks with random weights; warm process, "
        f"without imports and server start: first run {first.seconds:.1f} s, {computed[0]:,} rows computed; "
        f"second {second:.2f} s, {sum(computed[1:])} rows computed, {written} versions written, "
        f"{len(loads) - loaded} extractors loaded",
        unit="%",
    )


@contextlib.contextmanager
def random_networks(folder: Path) -> Iterator[list[str]]:
    """The profile's networks with random weights in a model store at ``folder``; the list tells who was loaded."""
    loads: list[str] = []
    with patch.dict(os.environ, OTZYV_MODELS=str(folder)):
        patched = {name: Extractor(_card(get(name).card), _noted(get(name).load, loads)) for name in PROFILE}
        with patch.dict(REGISTERED, patched):
            yield loads


def _card(card: Card) -> Card:
    return dataclasses.replace(card, weights=(random_weights(card),)) if card.backend == "openvino" else card


def _noted(load: Loader, loads: list[str]) -> Loader:
    def loader(card: Card, weights: Weights | None) -> Run:
        loads.append(card.name)
        return load(card, weights)

    return loader


def write_photographs(folder: Path, count: int) -> None:
    folder.mkdir()
    different = photographs(24)
    for number in range(count):  # bytes after the picture's end change its name and not its pixels
        (folder / f"{number}.jpg").write_bytes(different[number % len(different)] + number.to_bytes(4, "big"))


def _versions(lake: Path) -> set[Path]:
    return set(lake.glob("*/_delta_log/*.json"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        write_reviews(Path(folder) / "reviews.jsonl", int(sys.argv[1]))
        make_day(Path(folder) / "lake", Path(folder) / "reviews.jsonl")
    tell_peak()
