"""Files that an ingest leaves unread, by what earlier ones noted of them: the lake and the accounting are the same.

Two lakes are fed from sources that change in every way between ingests. One of them loses its notes before each, so
that every file is read. The readers share all code but the notes, whose use is what is tried here.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from otzyv.schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import EmptyDay, commit
from otzyv.tasks.lake.records.blobs import blob_path
from otzyv.tasks.lake.records.gone import SourceNotWhole
from otzyv.tasks.lake.records.suppression import keyed, suppress
from otzyv.tasks.pipeline.ingest import Accounting, Source, nothing_new
from otzyv.tasks.pipeline.known_files import CUT, FEWER, FOLDER
from otzyv.tasks.sources import SourceError, attachments
from tests.faults.counts import detail, turns

KEY = "a key made up for tests"
DAYS = [date(2026, 3, 1) + timedelta(n) for n in range(4)]
STEPS = 7
CHANGES = ("nothing", "nothing", "add", "edit", "edit", "drop", "copy", "supersede", "supersede", "recede", "recede",
           "move", "refuse", "heal", "tie", "damage", "picture", "repicture", "repicture", "unpicture", "rename",
           "lose", "blank", "break", "foreign", "blob", "erase", "suppress", "mojibake", "settings")  # fmt: skip


class World:
    """A folder of files that hold records, as plain dicts, and the two lakes."""

    def __init__(self, place: Path, chance: random.Random) -> None:
        self.place, self.chance = place, chance
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.count, self.broken = 0, False
        self.newer: list[tuple[str, dict[str, Any]]] = []
        self.daily = chance.random() < 0.3
        self.path = place / "source"
        (self.path / "pictures").mkdir(parents=True)
        self.lakes = [Lake.create(place / name) for name in ("noting", "reading")]
        where = str(self.path / "{day}.jsonl") if self.daily else str(self.path)
        mode: Literal["append", "snapshot"] = "append" if chance.random() < 0.4 else "snapshot"
        self.source = Source(where, mode, name=chance.choice((None, "shop")), refused_share=1)
        for _ in range(chance.randint(1, 5)):
            self.change("add")

    def change(self, kind: str) -> None:
        chance, files = self.chance, self.files
        records = [(name, n) for name, found in files.items() for n in range(len(found))]
        at = chance.choice(records) if records else None
        if kind == "add" or at is None:
            day = chance.choice(DAYS)
            name = f"{day}.jsonl" if self.daily else chance.choice(("a.jsonl", "b.jsonl", "c.jsonl.gz", "d/e.jsonl"))
            for _ in range(chance.randint(1, 3)):
                self.count += 1
                record = {
                    "review_id": f"r{self.count}",
                    "text": f"Отзыв {self.count}",
                    "created_at": f"{day}T12:00:00Z",
                }
                if chance.random() < 0.5:
                    record["updated_at"] = f"2026-04-01T00:00:{self.count % 60:02}Z"
                files.setdefault(name, []).append(record)
                if chance.random() < 0.4:
                    self.attach(name, -1)
            return
        name, n = at
        record = dict(files[name][n])
        match kind:
            case "edit":
                self.count += 1
                newer = {"updated_at": f"2026-05-01T00:{self.count % 60:02}:00Z"} if chance.random() < 0.7 else {}
                files[name][n] = record | {"text": f"Иначе {self.count}"} | newer
            case "drop":
                del files[name][n]
            case "copy":
                files[chance.choice(list(files))].append(record)
            case "tie":
                files[chance.choice(list(files))].append(record | {"text": f"Так же ново {self.count}"})
            case "supersede":
                self.count += 1
                newer = {"text": f"Новее {self.count}", "updated_at": f"2026-05-02T00:{self.count % 60:02}:00Z"}
                name = chance.choice(list(files))
                files[name].append(record | newer)
                self.newer.append((name, files[name][-1]))
            case "recede":
                for name, record in self.newer[-1:]:
                    if record in files.get(name, ()):
                        files[name].remove(record)
            case "move":
                files[name][n] = record | {"created_at": f"{chance.choice(DAYS)}T09:00:00Z"}
            case "refuse":
                files[name][n] = record | {"rating": 17}
            case "heal":
                files[name] = [{k: v for k, v in each.items() if k != "rating"} for each in files[name]]
            case "damage":
                files[name][n] = record | {"created_at": "yesterday"}
            case "mojibake":
                files[name][n] = record | {"text": "Отличный курс".encode().decode("cp1251", "replace")}
            case "picture":
                self.attach(name, n)
            case "repicture":
                self.draw()
            case "unpicture":
                (self.path / "pictures" / f"{chance.randint(1, 2)}.png").unlink(missing_ok=True)
            case "rename" if not self.daily:
                files[f"{chance.randint(1, 9)}.jsonl"] = files.pop(name)
            case "lose":
                del files[name]
            case "blank":
                files[name] = []
            case "break" if not self.daily:
                self.broken = not self.broken
            case "foreign":  # another source brings in what may be the same reviews
                other = self.place / "other"
                other.mkdir(exist_ok=True)
                text = record if chance.random() < 0.5 else record | {"text": "Чужое", "updated_at": "2026-06-01"}
                (other / "a.jsonl").write_text(json.dumps(text) + "\n")
                for lake in self.lakes:
                    ingest.fn(lake.uri, Source(str(other), refused_share=1), KEY)
            case "blob":
                for lake in self.lakes:
                    for path in lake.storage.files("blobs", recursive=True)[:1]:
                        lake.storage.delete(path)
            case "erase":
                for lake in self.lakes:
                    for table in (REVIEWS, ATTACHMENTS):
                        snapshot = lake.snapshot(table)
                        commit(lake.storage, snapshot, snapshot.days[:1], [], allow_empty=True)
            case "suppress":
                for lake in self.lakes:
                    suppress(lake.storage, "review", keyed(KEY, f"r{self.count + 1}"))
            case "settings":
                self.source = replace(self.source, redact=chance.choice((("phone",), ("phone", "email"), ())))

    def attach(self, name: str, n: int) -> None:
        others = ("gone.png", "../../out.png", "https://e.org/a.png")
        uri = self.chance.choice(("pictures/1.png", "pictures/2.png", *others[: self.chance.randint(0, 3)]))
        uri = f"../{uri}" if name.startswith("d/") and ":" not in uri else uri
        self.files[name][n] = self.files[name][n] | {"attachments": [{"kind": "image", "uri": uri}]}
        self.draw()

    def draw(self) -> None:
        path = self.path / "pictures" / f"{self.chance.randint(1, 2)}.png"
        path.write_bytes(image("PNG", seed=self.chance.randint(0, 9), width=8, height=8))

    def write(self) -> None:
        """Write the files anew; one that is broken lies beside them, or does not."""
        for path in [*self.path.rglob("*.jsonl"), *self.path.rglob("*.jsonl.gz")]:
            path.unlink()
        for name, records in self.files.items():
            data = "".join(json.dumps(record) + "\n" for record in records).encode()
            path = self.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        if self.broken:
            (self.path / "broken.jsonl.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])

    def bring_in(self, lake: Lake, source: Source, days: list[date] | None) -> Accounting | str:
        try:
            return replace(ingest.fn(lake.uri, source, KEY, days), seconds=0)
        except (SourceError, SourceNotWhole, EmptyDay) as error:
            return f"{type(error).__name__}: {error}"


def _known(done: Accounting | str) -> Accounting | str:
    """What the lake that loses its notes can know as well: not that a file holds less than when it was read before."""
    if isinstance(done, str):
        return done
    of_notes = (FEWER.removeprefix("{n}"), CUT)
    return replace(done, notes=tuple(note for note in done.notes if not note.endswith(of_notes)))


def test_what_is_left_unread_would_have_changed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "SETTLED_NS", 10**7)
    untouched = 0
    for turn in turns("sources brought in with and without notes of what was read", 15, 1_000):
        chance = random.Random(turn)
        world = World(tmp_path / str(turn), chance)
        for step in range(STEPS):
            for _ in range(chance.randint(0, 2)):
                world.change(chance.choice(CHANGES))
            world.write()
            source = replace(world.source, allow_empty=chance.random() < 0.7, allow_gone=chance.random() < 0.5)
            time.sleep(0.02)  # so that the files count as settled
            days = chance.sample(DAYS, 2) if world.daily and chance.random() < 0.5 else None
            noting, reading = world.lakes
            shutil.rmtree(Path(reading.uri, FOLDER), ignore_errors=True)
            told = _told(noting, source, days)
            done = [world.bring_in(lake, source, days) for lake in world.lakes]
            about = f"turn {turn}, step {step}"
            assert _known(done[0]) == done[1], about
            if told is not None:
                untouched += 1
                assert _known(told) == done[1], about
                assert (told.accepted, told.changed_days) == (0, ()), about
            for table in (REVIEWS, ATTACHMENTS, QUARANTINE):
                one, other = (
                    lake.read(table).sort_by([(key, "ascending") for key in table.keys]) for lake in world.lakes
                )
                assert one.equals(other), f"{about}: {table.name}"
            named = {blob_path(sha) for sha in noting.read(ATTACHMENTS)["content_sha256"].drop_null().to_pylist()}
            for lake in world.lakes:  # of states that are not the newest there may be others
                assert named <= {*lake.storage.files("blobs", recursive=True)}, about
        shutil.rmtree(world.place)
    detail(f"{untouched} times nothing was read")
    assert untouched > 5


def _told(lake: Lake, source: Source, days: list[date] | None) -> Accounting | None:
    try:
        found = nothing_new(lake.uri, source, days)
    except SourceError:
        return None
    return found and replace(found, seconds=0)
