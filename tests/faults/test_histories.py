"""Sources that change in every way between ingests: the lake is what a model of plain dicts says.

It lacks nothing that a source holds. The model shares no code with the lake. Records are written as JSON lines, so that
each file's bytes say what it holds.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from otzyv.schemas.tables import REVIEWS
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import EmptyDay
from otzyv.tasks.lake.records.gone import SourceNotWhole
from otzyv.tasks.pipeline.ingest import Source
from tests.faults.counts import turns

KEY = "a key made up for tests"
FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(n) for n in range(3)]
STEPS = 6
CHANGES = ("add", "add", "edit", "edit", "correct", "drop", "drop", "drop", "refuse", "heal", "cut", "double", "move",
           "rename", "aside", "lose")  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A record as it stands in a file; ``broken``: refused, by its rating, or as a line that tells no id."""

    review_id: str
    text: str
    day: date
    edited: int = 0
    broken: str = ""

    def line(self) -> str:
        rating = 0 if self.broken == "rating" else 5
        said = {"review_id": self.review_id, "text": self.text, "created_at": f"{self.day}T12:00:00Z", "rating": rating}
        if self.edited:
            said["updated_at"] = f"2026-04-01T12:00:{self.edited:02}Z"
        line = json.dumps(said)
        return line[: len(line) // 2] if self.broken == "cut" else line


@dataclass
class Origin:
    """A source that its owner goes on changing: name of a file -> its records."""

    name: str | None
    files: dict[str, list[Written]] = field(default_factory=dict)
    count: int = 0

    def begin(self, chance: random.Random) -> None:
        for name in ("a.jsonl", "b.jsonl"):
            self.files[name] = [self.fresh(chance) for _ in range(6)]

    def fresh(self, chance: random.Random) -> Written:
        self.count += 1
        return Written(f"{self.name or 'r'}{self.count}", "раз", chance.choice(DAYS))

    def change(self, chance: random.Random) -> None:
        """One thing that people and programs do to a folder of files."""
        name = chance.choice([*self.files, *("new.jsonl" for _ in range(not self.files))])
        there = self.files.setdefault(name, [])
        at = chance.randrange(len(there)) if there else None
        match chance.choice(CHANGES):
            case "add":
                there.extend(self.fresh(chance) for _ in range(chance.randint(1, 4)))
            case "edit" if at is not None:
                edited = max((each.edited for file in self.files.values() for each in file), default=0) + 1
                day = chance.choice([there[at].day, chance.choice(DAYS)])
                there[at] = replace(there[at], text=f"правка {edited}", day=day, edited=edited)
            case "correct" if at is not None:
                self.count += 1
                wrong, text, day = replace(there[at], broken=""), f"исправлено {self.count}", chance.choice(DAYS)
                for held in self.files.values():
                    held[:] = [
                        replace(each, text=text, day=day) if replace(each, broken="") == wrong else each
                        for each in held
                    ]
            case "drop" if at is not None:
                del there[at]
            case "refuse" if at is not None:
                there[at] = replace(there[at], broken="rating")
            case "cut" if at is not None and chance.random() < 0.4:
                there[at] = replace(there[at], broken="cut")
            case "heal":
                self.files = {file: [replace(each, broken="") for each in held] for file, held in self.files.items()}
            case "double" if at is not None:
                self.files.setdefault(chance.choice(["more.jsonl", name]), []).append(there[at])
            case "move" if at is not None:
                self.files.setdefault("moved.jsonl", []).append(there.pop(at))
            case "rename":
                self.files[f"renamed{self.count}.jsonl"] = self.files.pop(name)
            case "aside" if chance.random() < 0.5:
                self.files[f"{name.partition('.')[0]}.{chance.choice(['xml', 'jsonl'])}"] = self.files.pop(name)
            case "lose" if chance.random() < 0.3:
                del self.files[name]

    def write(self, folder: Path) -> None:
        for path in folder.glob("*"):
            path.unlink()
        for name, held in self.files.items():
            (folder / name).write_text("".join(f"{each.line()}\n" for each in held))

    @property
    def read(self) -> dict[str, list[Written]]:
        return {name: held for name, held in self.files.items() if name.endswith(".jsonl")}

    @property
    def holds(self) -> set[str]:
        """Whose records stand in any file, readable or not."""
        return {each.review_id for held in self.files.values() for each in held}

    @property
    def told(self) -> set[str]:
        """Of whom a reader of its files can tell."""
        return {each.review_id for held in self.read.values() for each in held if each.broken != "cut"}


@dataclass
class Model:
    """What a lake is to hold: id -> its record and the file that it is known to come from."""

    reviews: dict[str, tuple[Written, tuple[str | None, str]]] = field(default_factory=dict)

    def bring(self, origin: Origin, source: Source) -> tuple[Counter[str], type[Exception] | None]:
        """The accounting to expect, or the refusal after which all is as it was."""
        records = [(name, each) for name, held in sorted(origin.read.items()) for each in held]
        good = [(name, each) for name, each in records if not each.broken]
        bad = [(name, each) for name, each in records if each.broken]
        whole = Counter(name for name, _ in records)
        failed = bool(bad) and (
            5 * len(bad) > len(records)
            or any(1 < count == sum(name == file for name, _ in bad) for file, count in whole.items())
        )
        snapshot = source.mode == "snapshot"
        there = set(whole) | (set(origin.read) if source.allow_empty else set())
        after = dict(self.reviews)
        accepted = 0
        best: dict[str, tuple[Written, str]] = {}
        for name, each in good:
            if each.review_id not in best or best[each.review_id][0].edited < each.edited:
                best[each.review_id] = (each, name)
        for review_id, (each, name) in best.items():
            known = after.get(review_id)
            if known and known[0].edited > each.edited:
                continue
            if known is None or known[0] != each:
                accepted += 1
                after[review_id] = (each, (origin.name, name))
            elif snapshot and known[1] == (origin.name, known[1][1]) and known[1][1] not in there:
                after[review_id] = (each, (origin.name, name))

        mine = {each for each, (_, (owner, _)) in self.reviews.items() if owner == origin.name}
        seen = {*best, *(each.review_id for _, each in bad if each.broken == "rating")}
        absent = mine - seen if snapshot else set()
        gone = set() if failed else absent
        if gone and not source.allow_gone:
            lost = any(self.reviews[each][1][1] not in there for each in absent)
            aside = len(origin.files) > len(origin.read)
            strange = bool(seen) and len(absent) == len(mine) >= 3
            if lost or aside or strange:
                return Counter(), SourceNotWhole
            if any(each.broken == "cut" for _, each in bad):
                gone = set()
        emptied = {self.reviews[each][0].day for each in gone}
        after = {each: known for each, known in after.items() if each not in gone}
        stay = {known[0].day for known in after.values()}
        if emptied - stay and not source.allow_empty:
            return Counter(), EmptyDay
        self.reviews = after
        counts = Counter(
            records_in=len(records), accepted=accepted, quarantined=len(bad), failed=failed,
            deduplicated=len(good) - accepted, gone=len(gone), absent=len(absent) - len(gone),
        )  # fmt: skip
        return +counts, None


def stands(lake: Lake) -> dict[str, tuple[str | None, date, str]]:
    rows = lake.read(REVIEWS).to_pylist()
    assert len({row["review_id"] for row in rows}) == len(rows)
    return {row["review_id"]: (row["text"], row["day"], row["source_file"]) for row in rows}


def test_any_history_of_sources_gives_the_lake_of_the_model_and_loses_nothing_that_they_hold(tmp_path: Path) -> None:
    for turn in turns("history of sources, snapshots and appends", 12, 1000):
        chance = random.Random(turn)
        lake = Lake.create(tmp_path / f"lake{turn}")
        model = Model()
        origins = [Origin(name) for name in (None, "stepik")]
        for origin in origins:
            origin.begin(chance)
        for _ in range(STEPS):
            origin = chance.choice(origins)
            for _ in range(chance.randint(1, 5)):
                origin.change(chance)
            if not origin.read:
                origin.files["new.jsonl"] = []
            folder = tmp_path / f"source{turn}{origin.name}"
            folder.mkdir(exist_ok=True)
            origin.write(folder)
            source = Source(
                str(folder), chance.choice(["snapshot", "snapshot", "append"]), name=origin.name,
                allow_gone=chance.random() < 0.2, allow_empty=chance.random() < 0.5,
            )  # fmt: skip
            before = stands(lake)
            expected, refusal = model.bring(origin, source)
            if refusal is not None:
                with pytest.raises(refusal):
                    ingest.fn(lake.uri, source, KEY)
                assert stands(lake) == before
            else:
                done = ingest.fn(lake.uri, source, KEY)
                found = Counter(
                    {count: getattr(done, count) or 0 for count in (*expected, "gone") if count != "failed"}
                )
                assert +found + Counter(failed=bool(done.failures)) == expected
                assert stands(lake) == {
                    review_id: (known.text, known.day, "//".join(filter(None, place)))
                    for review_id, (known, place) in model.reviews.items()
                }
            held = {each for one in origins for each in one.holds}
            if source.allow_gone:
                held -= origin.holds - origin.told
            assert before.keys() & held <= stands(lake).keys(), "what a source holds stays"
