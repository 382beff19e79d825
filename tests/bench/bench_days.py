"""Many small days: the first run, a run that finds nothing to do, one changed review; and the same job done plainly."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from prefect.settings import get_current_settings

from otzyv.flows.run import RunReport
from otzyv.tasks.extractors import get
from otzyv.tasks.models import store
from tests.bench.bench_day import make_day, write_reviews
from tests.bench.figure import Figure
from tests.bench.process import peak, tell_peak

DAYS, A_DAY, A_YEAR = 60, 20, 365
EXTRACTORS = ("sentiment_mini", "text_navec")
FIRST = date(2026, 1, 1)
RUNS = 5


def figures() -> Iterator[Figure]:
    what = f"{DAYS} days x {A_DAY} reviews, {' and '.join(EXTRACTORS)}"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_days(place / "warm", 2)
        for _ in range(2):
            make_day(place / "warm-lake", place / "warm", EXTRACTORS)
        write_days(place / "days", DAYS)
        _write_on_one_day(place / "one.jsonl", place / "days")
        firsts, ones = [], []
        for turn in range(3):
            firsts.append(make_day(place / f"lake{turn}", place / "days", EXTRACTORS).seconds)
            ones.append(make_day(place / f"one{turn}", place / "one.jsonl", EXTRACTORS).seconds)
        first, one = statistics.median(firsts), statistics.median(ones)
        database = _database()
        before = _size(database)
        unchanged = [make_day(place / "lake0", place / "days", EXTRACTORS) for _ in range(RUNS)]
        grown = (_size(database) - before) / RUNS / 2**20
        assert not any(report.changed for report in unchanged)
        nothing = statistics.median(report.seconds for report in unchanged)
        changed = statistics.median(_edited(place, turn).seconds for turn in range(1, 4))
        plainly = statistics.median(_seconds_of_plain(place / "days", place / f"plain{turn}") for turn in range(4))
        write_days(place / "year", A_YEAR)
        make_day(place / "year-lake", place / "year", EXTRACTORS)
        began = time.process_time()
        for _ in range(3):
            make_day(place / "year-lake", place / "year", EXTRACTORS)
        year = 1000 * (time.process_time() - began) / 3 / A_YEAR
    yield Figure(
        "nothing changed, of the first run's time", 100 * nothing / first, "<= 3",
        f"{what}; warm process, without imports and server start: {nothing:.2f} s of {first:.2f} s", unit="%",
    )  # fmt: skip
    yield Figure(
        "one review changed, of the first run's time", 100 * changed / first, "<= 5", f"{what}: {changed:.2f} s",
        unit="%",
    )  # fmt: skip
    yield Figure(
        "first run of many days, of the same reviews on one day", first / one, "<= 1.5",
        f"{what}: {first:.2f} s; {DAYS * A_DAY:,} reviews of one day: {one:.2f} s",
    )  # fmt: skip
    yield Figure(
        "the obvious way, of the first run's time", 100 * plainly / first, "",
        f"{what}: pandas, fastText and navec in a loop, one Parquet file a day, all days again each time, nothing "
        f"checked, kept or taken over: {plainly:.2f} s; a run that finds nothing to do takes {nothing:.2f} s", unit="%",
    )  # fmt: skip
    yield Figure(
        "CPU of an unchanged day of a year", year, "<= 3",
        f"{A_YEAR} days x {A_DAY} reviews: reading the source and telling that nothing changed", unit="ms",
    )  # fmt: skip
    yield Figure(
        "growth of Prefect's database by a run that finds nothing to do", grown, "<= 0.1", f"{what}; mean of {RUNS}",
        unit="MiB",
    )  # fmt: skip
    few, many = (peak(__name__, str(days)) for days in (DAYS, 10 * DAYS))
    yield Figure(
        "peak memory of ten times the days", many / few, "<= 1.1",
        f"{DAYS} days {few / 2**20:.0f} MiB, {10 * DAYS} days {many / 2**20:.0f} MiB, imports and weights included",
    )  # fmt: skip


def write_days(folder: Path, days: int, *, edited: int = 0) -> None:
    """A file for each day; the first ``edited`` reviews of the middle one are edited."""
    folder.mkdir(exist_ok=True)
    for number in range(days):
        day = FIRST + timedelta(days=number)
        write_reviews(folder / f"{day}.jsonl", A_DAY, day=day, edited=edited if number == days // 2 else 0)


def _write_on_one_day(path: Path, days: Path) -> None:
    """The reviews of a folder of days as if they were all of its first day."""
    lines = [line for file in sorted(days.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    reviews = [json.loads(line) for line in lines]
    same = [review | {at: f"{FIRST}{review[at][10:]}" for at in ("created_at", "updated_at")} for review in reviews]
    path.write_text("".join(json.dumps(review, ensure_ascii=False) + "\n" for review in same), "utf-8")


def _edited(place: Path, turn: int) -> RunReport:
    """A run in which one more review is edited."""
    write_days(place / "days", DAYS, edited=turn)
    report = make_day(place / "lake0", place / "days", EXTRACTORS)
    assert report.accounting is not None
    assert report.accounting.accepted == 1
    return report


def _seconds_of_plain(source: Path, out: Path) -> float:
    import fasttext
    from navec import Navec

    model = fasttext.load_model(str(_weights("sentiment_mini")))
    vectors = Navec.load(str(_weights("text_navec")))
    clock = time.perf_counter()
    for file in sorted(source.glob("*.jsonl")):
        rows = pd.read_json(file, lines=True)
        texts = rows["text"].str.lower().str.findall(r"\w+")
        rows["sentiment"] = [labels[0] for labels in model.predict([" ".join(words) for words in texts])[0]]
        rows["vector"] = [_mean([vectors[word] for word in words if word in vectors]) for words in texts]
        day = out / f"day={file.stem}"
        day.mkdir(parents=True)
        rows.to_parquet(day / "part.parquet")
    return time.perf_counter() - clock


def _mean(vectors: list[Any]) -> Any:
    return sum(vectors) / len(vectors) if vectors else None


def _weights(name: str) -> Path:
    card = get(name).card
    return next(iter(store.locate(name, card.weights[0]).values()))


def _database() -> Path:
    return get_current_settings().home / "prefect.db"


def _size(database: Path) -> int:
    """Bytes of an SQLite database with what its journal holds."""
    time.sleep(3)  # events are written a second later
    return sum(os.stat(path).st_size for path in database.parent.glob(f"{database.name}*"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        write_days(Path(folder) / "days", int(sys.argv[1]))
        make_day(Path(folder) / "lake", Path(folder) / "days", EXTRACTORS)
    tell_peak()
