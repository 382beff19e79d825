"""Who is forgotten is in no byte of a lake, however it came to be and wherever forgetting died; others are whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, QUARANTINE, REVIEWS
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta import publish
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.lake.upkeep.maintain import maintain
from otzyv.tasks.pipeline import ingest as ingesting
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.forget import find, forget
from otzyv.tasks.pipeline.ingest import Source
from otzyv.tasks.pipeline.make import make
from tests.faults.counts import turns
from tests.faults.days import TOY, toy
from tests.tasks.lake.decoded import decoded, shown

KEY = "a key of tests"
DAYS = (date(2026, 3, 1), date(2026, 3, 2))
COLUMNS = ("review_id", "text", "created_at", "rating", "author", "updated_at", "attachments")
NAMES = ("Пётр Неповторимый", 'Жанна "Йод" Ёлкина', "неповторимая-йога", "Qwerty O'Neil", "Семён 77-й")


@dataclass
class Written:
    """A source and what is true of it: whose the records are, and by which words they would be found."""

    chance: random.Random
    author: str
    theirs: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    others_refused: Counter[str] = field(default_factory=Counter)
    photos: dict[str, bytes] = field(default_factory=dict)
    instead: str | None = None
    """The name that a source now has for the author."""

    def spelled(self) -> str:
        """The author's name, one of the ways to write it."""
        if self.instead is not None:
            return self.instead
        name = self.chance.choice([self.author, self.author.upper(), self.author.lower(), self.author.title()])
        name = unicodedata.normalize(self.chance.choice(["NFC", "NFD"]), name)
        return self.chance.choice(["", " ", "\t"]) + name + self.chance.choice(["", "", "  "])

    def secret(self, what: str) -> str:
        word = f"тайна{what}{self.chance.randrange(10**9):09}"
        self.secrets.add(word)
        return word


def records(told: Written, edition: int) -> Iterator[tuple[bool, bool, dict[str, Any]]]:
    """Whether it is theirs, whether it will be refused, and the record."""
    chance = told.chance
    for number in range(16):
        theirs = number in (3, 5, 8, 9)
        review_id = str(number) if theirs else chance.choice([f"{number}", f"{number}5", f"r-{number}"])
        refused = number in (1, 5, 9, 12)
        record: dict[str, Any] = {
            "review_id": review_id,
            "created_at": f"{chance.choice(DAYS)}T12:00:00Z",
            "rating": 9 if refused else 5,
            "updated_at": f"2026-04-0{edition + 1}",
        }
        if theirs:
            told.theirs.add(review_id)
            record |= {"text": f"Мой {told.secret('текст')} о курсе", "author": told.spelled()}
            photo = f"{told.secret('фото')}.png"
            told.photos[photo] = b"\x89PNG\r\n\x1a\n" + told.secret("снимок").encode()
            record["attachments"] = [{"kind": "image", "uri": photo}, {"kind": "image", "uri": "shared.png"}]
        else:
            record |= {"text": f"Курс {number}, правка {edition}", "author": f"{told.author}son {number}"}
            record["attachments"] = [{"kind": "image", "uri": "shared.png"}] * (number % 2)
        yield theirs, refused, record


def line(told: Written, record: dict[str, Any], form: str, *, broken: bool) -> bytes:
    """A record as JSON or a row of CSV, escaped and encoded in one of many ways; broken: so that it can't be parsed."""
    chance = told.chance
    if form == "jsonl":
        raw = json.dumps(record, ensure_ascii=chance.random() < 0.5).encode()
        if broken:
            raw = raw[: -chance.randint(1, 9)]
            return raw if chance.random() < 0.5 else raw.decode().encode("cp1251", "replace")
        return raw
    out = io.StringIO()
    cells = [json.dumps(v, ensure_ascii=False) if isinstance(v := record.get(n), list) else v for n in COLUMNS]
    csv.writer(out, lineterminator="").writerow([*cells, *["more"] * broken])
    return out.getvalue().encode()


def write(told: Written, folder: Path, edition: int) -> None:
    """The files of a source: JSONL, CSV and Parquet, refused records and all."""
    folder.mkdir(exist_ok=True)
    lines: dict[str, list[bytes]] = {"jsonl": [], "csv": [",".join(COLUMNS).encode()]}
    rows: list[dict[str, Any]] = []
    for theirs, refused, record in records(told, edition):
        form = told.chance.choice(["jsonl", "csv", "parquet"])
        if form == "parquet":
            rows.append({name: record.get(name) for name in COLUMNS})
            continue
        raw = line(told, record, form, broken=refused and told.chance.random() < 0.5)
        lines[form].append(raw)
        if refused and not theirs:
            told.others_refused[hashlib.sha256(raw).hexdigest()] += 1
    for form, found in lines.items():
        (folder / f"a.{form}").write_bytes(b"\n".join(found) + b"\n")
    if rows:
        pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    for name, data in (*told.photos.items(), ("shared.png", b"\x89PNG\r\n\x1a\nshared")):
        (folder / name).write_bytes(data)


def featured(lake: Lake) -> None:
    for day in DAYS:
        make(lake, CLEANING, day)
        make(lake, toy(), day)
        release_day(lake.storage, day, [REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY])


def filled(told: Written, at: Path) -> Lake:
    """A lake of two editions, made and released, and of a third whose ingest died after it had put its files."""
    lake = Lake.create(at / "lake")
    for edition in range(2):
        write(told, at / "source", edition)
        ingest.fn(lake.uri, Source(str(at / "source")), KEY)
        featured(lake)
    write(told, at / "source", 2)

    def died(*_: object, **__: object) -> None:
        raise OSError("the process was killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingesting, "upsert", died)
        with pytest.raises(OSError, match="killed"):
            ingest.fn(lake.uri, Source(str(at / "source")), KEY)
    return lake


def others(lake: Lake, told: Written) -> dict[str, Any]:
    """What the lake and its readers have of everybody else."""
    found: dict[str, Any] = {}
    for table in (REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY):
        names = [name for name in table.names if name != "run_key"]
        rows = [row for row in lake.read(table, columns=names).to_pylist() if row["review_id"] not in told.theirs]
        found[table.name] = sorted(rows, key=lambda row: (row["review_id"], row.get("position", 0)))
    seen = [row for frame in lake.frames(None, ["reviews", "text_toy"]) for row in frame.to_pylist()]
    found["seen"] = [
        {name: value for name, value in row.items() if not name.endswith("run_key")}
        for row in seen
        if row["review_id"] not in told.theirs
    ]
    return found


def check(lake: Lake, told: Written, before: dict[str, Any], refused: set[str]) -> None:
    """Nothing of theirs is left in any file, and all of the others is."""
    wanted = {*map(shown, told.secrets), *(hashlib.sha256(data).hexdigest() for data in told.photos.values())}
    name = shown(told.author)
    forms = "|".join(re.escape(form) for form in {name, name.replace('"', '""'), name.replace('"', '\\"')})
    named = re.compile(rf"(?:{forms})(?!son)")  # a longer name is another's
    for text in map(shown, decoded(lake.storage.root)):
        assert not {word for word in wanted if word in text}
        assert not named.search(text)
    for table in (REVIEWS, ATTACHMENTS, CLEAN_TEXT, TOY):
        assert told.theirs.isdisjoint(lake.read(table)["review_id"].to_pylist())
    assert others(lake, told) == before
    assert refused <= {*lake.read(QUARANTINE)["raw_sha256"].to_pylist()}, "refused records of others stay"


def refused_of_others(lake: Lake, told: Written) -> set[str]:
    """Refused records of JSONL and CSV that are others', by their sha256."""
    return {*lake.read(QUARANTINE)["raw_sha256"].to_pylist()} & {*told.others_refused}


def told_by(seed: int) -> Written:
    chance = random.Random(seed)
    return Written(chance, chance.choice(NAMES))


def forgotten(lake: Lake, told: Written, by: str) -> None:
    if by == "author":
        forget(lake.uri, KEY, author=told.spelled())
    for review_id in sorted(told.theirs) if by == "review" else ():
        forget(lake.uri, KEY, review=review_id)


def test_nothing_is_left_of_who_is_forgotten_and_nothing_comes_back(tmp_path: Path) -> None:
    for seed in turns("lakes that forget", 2, 60):
        told = told_by(seed)
        lake = filled(told, tmp_path / str(seed))
        before, refused = others(lake, told), refused_of_others(lake, told)
        forgotten(lake, told, "author")
        check(lake, told, before, refused)
        maintain(lake)
        # The source has them still, by another name and by none.
        telling = Written(random.Random(seed + 1), told.author, instead=told.chance.choice(["", "Другая"]))
        write(telling, tmp_path / str(seed) / "again", 3)
        done = ingest.fn(lake.uri, Source(str(tmp_path / str(seed) / "again")), KEY)
        assert done.suppressed >= 4
        assert told.theirs.isdisjoint(lake.read(REVIEWS)["review_id"].to_pylist())


def steps(patch: pytest.MonkeyPatch, reached: Callable[[], None]) -> None:
    """Call ``reached`` before and after each change that is made to a lake."""
    for owner, name in ((Storage, "delete"), (Storage, "write"), (Storage, "write_new"), (publish, "write_entry")):
        real = getattr(owner, name)

        def wrapped(*given: Any, real: Callable[..., Any] = real, **named: Any) -> Any:
            reached()
            result = real(*given, **named)
            reached()
            return result

        patch.setattr(owner, name, wrapped)


class Died(BaseException):
    """Nothing in the code handles it, as nothing handles a kill."""


def test_wherever_forgetting_dies_it_is_done_by_running_again(tmp_path: Path) -> None:
    for seed in turns("lakes whose forgetting died", 2, 200):
        told = told_by(1000 + seed)
        lake = filled(told, tmp_path / str(seed))
        before, refused = others(lake, told), refused_of_others(lake, told)
        left = told.chance.randrange(1, 90)

        def reached() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Died

        by = told.chance.choice(["author", "review"])
        with pytest.MonkeyPatch.context() as patch:
            steps(patch, reached)
            with suppress(Died):
                forgotten(lake, told, by)
        forgotten(lake, told, by)
        if by == "author":
            check(lake, told, before, refused)
        else:
            assert told.theirs.isdisjoint(lake.read(REVIEWS)["review_id"].to_pylist())
            assert others(lake, told) == before
            assert refused <= {*lake.read(QUARANTINE)["raw_sha256"].to_pylist()}


def test_looking_changes_nothing_and_foretells_what_goes(tmp_path: Path) -> None:
    told = told_by(7)
    lake = filled(told, tmp_path)

    def files() -> dict[str, bytes]:
        return {path: lake.storage.read(path) for path in lake.storage.files("", recursive=True)}

    before, rows = files(), {t.name: lake.read(t).num_rows for t in (REVIEWS, CLEAN_TEXT, ATTACHMENTS, QUARANTINE)}
    found = find(lake.uri, KEY, author=told.author)
    assert files() == before
    done = forget(lake.uri, KEY, author=told.author)
    assert (found.reviews, found.days, found.releases, found.blobs) == (
        done.reviews, done.days, done.releases, done.blobs
    )  # fmt: skip
    now = {name: lake.read(name).num_rows for name in rows}
    assert {name: rows[name] - now[name] for name in rows} == {name: found.rows.get(name, 0) for name in rows}
    assert found.refused == found.rows["quarantine"] > 0
    again = find(lake.uri, KEY, author=told.author)
    assert (again.known, again.barred, again.files, again.blobs) == (True, True, 0, 0)
