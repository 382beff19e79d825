"""A source whose owner goes on changing it, day by day: files come late, are corrected, cut, and refused in part."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from otzyv.tasks.extractors.contract.contents import image


@dataclass(frozen=True)
class Written:
    review_id: str
    text: str
    day: date
    edited: int = 0
    picture: int | None = None
    refused: bool = False

    def line(self) -> str:
        said: dict[str, Any] = {
            "review_id": self.review_id,
            "text": self.text,
            "created_at": f"{self.day}T12:00:00Z",
            "rating": 0 if self.refused else 5,
        }
        if self.edited:
            said["updated_at"] = f"2026-06-01T{self.edited // 60:02}:{self.edited % 60:02}:00Z"
        if self.picture is not None:
            said["attachments"] = [{"kind": "image", "uri": f"pictures/{self.picture}.png"}]
        return json.dumps(said)


@dataclass
class Origin:
    """What a source holds, by its files; those in ``late`` come on a later day, as do pictures."""

    chance: random.Random
    folder: Path
    files: dict[str, list[Written]] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    late_pictures: dict[int, int] = field(default_factory=dict)
    count: int = 0

    def go_on(self, number: int, day: date) -> None:
        """What comes and changes on a day."""
        chance = self.chance
        name = f"{day}.jsonl"
        self.files[name] = [self.fresh(number, day) for _ in range(chance.randint(0, 4))]
        if number and chance.random() < 0.15:
            self.late[name] = number + chance.randint(1, 12)
        for _ in range(chance.randint(0, 2) if number else 0):
            self.change(number, day)

    def fresh(self, number: int, day: date) -> Written:
        self.count += 1
        picture = None
        if self.chance.random() < 0.3:
            picture = self.count
            if self.chance.random() < 0.3:
                self.late_pictures[picture] = number + self.chance.randint(1, 5)
        return Written(f"r{self.count}", self.chance.choice(["отлично", "ужасно", "так себе"]), day, picture=picture)

    def change(self, number: int, day: date) -> None:
        chance = self.chance
        name = chance.choice([name for name in self.files if self.files[name]] or [f"{day}.jsonl"])
        there = self.files[name]
        self.count += 1
        if not there:
            return
        at = chance.randrange(len(there))
        newer = replace(there[at], text=f"правка {self.count}", edited=self.count)
        match chance.choice(("correct", "edit", "move", "elsewhere", "stray", "refuse", "heal")):
            case "correct":  # without an edit time, in every file that holds it
                wrong, text = replace(there[at], refused=False), f"верно {self.count}"
                for held in self.files.values():
                    held[:] = [
                        replace(each, text=text) if replace(each, refused=False) == wrong else each for each in held
                    ]
            case "edit":
                there[at] = newer
            case "move":
                there[at] = replace(newer, day=day - timedelta(chance.randint(0, number)))
            case "elsewhere":
                self.files[f"{day}.jsonl"].append(newer)
            case "stray":
                self.files[f"{day}.jsonl"].append(self.fresh(number, day - timedelta(chance.randint(1, 60))))
            case "refuse":
                there[at] = replace(there[at], refused=True)
            case "heal":
                self.heal()

    def heal(self) -> None:
        for held in self.files.values():
            held[:] = [replace(each, refused=False) for each in held]

    def write(self, number: int, *, cut: str | None = None) -> None:
        """The folder as it is on a day; of the file ``cut`` only a part is there."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        for name, held in self.files.items():
            if self.late.get(name, 0) > number:
                continue
            told = "".join(f"{each.line()}\n" for each in held)
            told = told[: len(told) * 2 // 3] if name == cut else told
            path = self.folder / name
            if not path.exists() or path.read_text() != told:
                path.write_text(told)
            for picture in (each.picture for each in held):
                path = self.folder / "pictures" / f"{picture}.png"
                if picture is not None and self.late_pictures.get(picture, 0) <= number and not path.exists():
                    path.write_bytes(image("PNG", width=20 + picture % 30, height=20 + picture // 30))
