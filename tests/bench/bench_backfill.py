"""What a backfill costs: beside its extractors, when little changed, with days side by side, with many days."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from otzyv.flows.backfill import Backfill, backfill
from otzyv.flows.ingest import ingest
from otzyv.flows.server.prefect_server import without_heartbeats
from otzyv.schemas.tables import ATTACHMENTS
from otzyv.tasks import features as making
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.outcomes import Outcome
from otzyv.tasks.pipeline.ingest import Source
from tests.bench.bench_day import DAY, KEY, PROFILE, random_networks, write_photographs, write_reviews
from tests.bench.figure import Figure
from tests.bench.process import peak, tell_peak
from tests.tasks.reviews import bring

REVIEWS, IMAGES = 2_000, 333
CHEAP = ("sentiment_mini", "text_navec")
SIX = (*PROFILE, "image_pixels")
MANY_ROWS = 200


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, random_networks(Path(folder) / "models"):
        place = Path(folder)
        write_photographs(place / "images", IMAGES)
        make(sourced(place, "warm", days(1), 12, 2), days(1), SIX)
        yield _beside_extractors(place)
        yield _little_changed(place)
        yield _side_by_side(place)
    few, many = (peak(__name__, str(count)) for count in (10, 100))
    yield Figure(
        "peak memory of a backfill of 100 days, of one of 10",
        many / few,
        "<= 1.1",
        f"days of {MANY_ROWS} reviews; {', '.join(CHEAP)}: {few / 2**20:.0f} and {many / 2**20:.0f} MiB, "
        "imports and weights included",
    )


def days(count: int) -> list[date]:
    return [DAY + timedelta(number) for number in range(count)]


def sourced(place: Path, name: str, wanted: Sequence[date], reviews: int, images: int, *, edited: int = 0) -> Lake:
    """A lake that has brought in as many reviews a day; the first ``edited`` of each day were edited since."""
    folder = place / f"{name} source"
    if not folder.exists():  # linked: a symbolic link that leaves the source's folder is refused
        shutil.copytree(place / "images", folder / "images", copy_function=os.link)
    for day in wanted:
        write_reviews(folder / f"{day}.jsonl", reviews, images=images, day=day, edited=edited)
    lake = Lake.create(place / name, LakeConfig(author_key_check=key_check(KEY.get_secret_value())))
    ingest(lake.uri, Source(str(folder)), KEY)
    return lake


def make(lake: Lake, wanted: Sequence[date], extractors: Sequence[str], **asked: Any) -> tuple[Outcome, ...]:
    if images := lake.read(ATTACHMENTS, columns=["status"])["status"].to_pylist():
        assert set(images) == {"ok"}
    request = Backfill(days=list(wanted), extractors=list(extractors), order="oldest first", **asked)
    with without_heartbeats():  # as the command does
        report = backfill(lake.uri, request)
    if len(report.plan.work) != len(wanted):
        raise SystemExit(f"{len(report.plan.work)} days had something to do, not {len(wanted)}")
    return report.outcomes


def seconds(
    lake: Lake, wanted: Sequence[date], extractors: Sequence[str], **asked: Any
) -> tuple[float, tuple[Outcome, ...]]:
    """How long a backfill took, and how it ended."""
    start = time.perf_counter()
    made = make(lake, wanted, extractors, **asked)
    return time.perf_counter() - start, made


@contextlib.contextmanager
def in_extractors() -> Iterator[list[float]]:
    """Seconds of each chunk of rows that an extractor gave: loading, reading, decoding and computing."""
    took: list[float] = []

    def timed(*arguments: Any, **named: Any) -> Iterator[Any]:
        chunks = extract(*arguments, **named)
        while True:
            start = time.perf_counter()
            chunk = next(chunks, None)
            took.append(time.perf_counter() - start)
            if chunk is None:
                return
            yield chunk

    extract = making.extract  # type: ignore[attr-defined]
    with patch.object(making, "extract", timed):
        yield took


def _beside_extractors(place: Path) -> Figure:
    day = days(1)
    lake = sourced(place, "one day", day, REVIEWS, IMAGES)
    rest, whole = [], []
    for _ in range(3):
        with in_extractors() as took:
            whole.append(seconds(lake, day, SIX, what="again")[0])
        rest.append(whole[-1] - sum(took))
    return Figure(
        "a day but for its extractors",
        statistics.median(rest),
        "<= 5",
        f"{REVIEWS:,} reviews, {IMAGES} photographs; {', '.join(SIX)}, computed again: plan, staging, checks, "
        f"publishing, release and Prefect's own work, of {statistics.median(whole):.1f} s in all; medians of 3",
        unit="s",
    )


def _little_changed(place: Path) -> Figure:
    wanted = days(5)
    lake = sourced(place, "changed", wanted, REVIEWS, IMAGES)
    with in_extractors() as first:
        made = make(lake, wanted, SIX)
    times, rows = [], 0
    for more in (1, 2, 3):
        sourced(place, "changed", wanted, REVIEWS, IMAGES, edited=more * REVIEWS // 100)
        took, remade = seconds(lake, wanted, SIX)
        times.append(took)
        rows = sum(outcome.computed for outcome in remade)
    took = statistics.median(times)
    return Figure(
        "a backfill of 1 % changed texts, of the first one's extractor time",
        100 * took / sum(first),
        "<= 2",
        f"{len(wanted)} days of {REVIEWS:,} reviews and {IMAGES} photographs; {', '.join(SIX)}; networks with random "
        f"weights: {', '.join(f'{each:.1f}' for each in times)} s in all, loading included, for {rows:,} rows each; "
        f"{sum(first):.1f} s in extractors for {sum(outcome.computed for outcome in made):,}",
        unit="%",
    )


def _side_by_side(place: Path) -> Figure:
    wanted = days(4)
    lake = sourced(place, "side by side", wanted, REVIEWS // 10, IMAGES // 10)
    make(lake, wanted, SIX)
    ratios = []
    for _ in range(3):
        times = [seconds(lake, wanted, SIX, what="again", days_at_once=at_once)[0] for at_once in (1, 2)]
        ratios.append(times[1] / times[0])
    return Figure(
        "two days at once, of the time of one after the other",
        statistics.median(ratios),
        "<= 1.1",
        f"{len(wanted)} days of {REVIEWS // 10} reviews and {IMAGES // 10} photographs; {', '.join(SIX)}, computed "
        f"again; {', '.join(f'{ratio:.2f}' for ratio in ratios)}, the last: {times[0]:.1f} and {times[1]:.1f} s",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        wanted = days(int(sys.argv[1]))
        lake = Lake.create(Path(folder) / "lake")
        for day in wanted:
            bring(lake, {day: {f"{day}-{row}": f"курс{day:%j}х{row} и ещё" for row in range(MANY_ROWS)}})
        make(lake, wanted, CHEAP)
    tell_peak()
