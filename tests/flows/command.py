"""The ``otzyv`` command as tests call it, and what must hold after every run of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from click.testing import CliRunner, Result

from otzyv.flows.command.main import main
from otzyv.schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING

COUNTS = ("records_in", "accepted", "quarantined", "deduplicated", "suppressed")


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@dataclass(frozen=True)
class Otzyv:
    """The command over one lake and one folder of sources."""

    lake: Path
    source: Path

    def opened(self) -> Lake:
        return Lake(self.lake)

    def write(self, name: str, records: Iterable[Mapping[str, Any] | bytes]) -> Path:
        """A JSONL file of the source: records, or lines as they are to stand there."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode() for one in records]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    def run(self, *options: str | Path, extractors: str = "sentiment_mini", source: str | Path | None = None) -> Any:
        """The object that a run prints, its promises checked."""
        where = ("--source", source or self.source, "--lake", self.lake)
        done = command("run", *where, "--extractors", extractors, "--json", *options)
        assert done.exit_code == 0, done.stderr
        said = json.loads(done.stdout)
        self.holds(said)
        return said

    def holds(self, said: Mapping[str, Any]) -> None:
        """The keys are those promised, every record is accounted for, and every table has a row per expected key."""
        assert set(said) - {"gone", "refused"} == {*COUNTS, "tables", "days"}
        assert said["quarantined"] == sum(each["count"] for each in said.get("refused", ()))
        assert said["records_in"] == sum(said[count] for count in COUNTS[1:])
        lake = self.opened()
        days = pa.array(said["days"], pa.string()).cast(pa.date32())
        reviews, attachments = lake.read(REVIEWS), lake.read(ATTACHMENTS)
        assert reviews.num_rows == len(set(reviews["review_id"].to_pylist()))
        assert sum(reviews["attachments"].to_pylist()) == attachments.num_rows
        for name, table in said["tables"].items():
            assert set(table) == {"rows", "computed", "reused", "status", "seconds"}
            assert table["rows"] == table["computed"] + table["reused"] == sum(table["status"].values())
            card = CLEANING.card if name == CLEANING.card.name else get(name).card
            keys = ["day", *card.table.keys]
            kind = (card.reads or card).modality
            expected = attachments.filter(pc.equal(attachments["kind"], kind)) if card.attached else reviews
            expected = expected.filter(pc.is_in(expected["day"], days))
            made = lake.read(card.table, columns=[*keys, "status"])
            made = made.filter(pc.is_in(made["day"], days))
            assert Counter(made["status"].to_pylist()) == table["status"]
            assert _keys(made, keys) == _keys(expected, keys)

    def rules(self) -> Counter[str]:
        """How many records of the source each rule has put into quarantine."""
        rules = self.opened().read(QUARANTINE, columns=["rule"])["rule"].to_pylist()
        return Counter(rule for rule in rules if rule != "row_check")

    def files(self) -> dict[str, str]:
        """Every file of the lake with the sha256 of its bytes."""
        return {
            str(path.relative_to(self.lake)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.lake.rglob("*"))
            if path.is_file()
        }


def _keys(rows: pa.Table, names: list[str]) -> list[tuple[Any, ...]]:
    return sorted(zip(*(rows[name].to_pylist() for name in names), strict=True))


def review(review_id: str, text: str | None = "Отличный курс, спасибо!", day: str = "2026-03-01", **more: Any) -> Any:
    """A good record of a source."""
    return {"review_id": review_id, "text": text, "created_at": f"{day}T12:00:00Z", **more}
