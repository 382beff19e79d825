"""Reads the labelled cases of personal data, and tells how well a kind finds them.

In ``cases/personal/KIND.txt`` what is to go stands in braces; a line without braces holds nothing of the kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from otzyv.tasks.text.redact import redactions

FOLDER = Path(__file__).parent / "cases" / "personal"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, and the places of it (start, end) that hold personal data of the file's kind."""

    kind: str
    text: str
    places: frozenset[tuple[int, int]]

    @property
    def found(self) -> frozenset[tuple[int, int]]:
        """What the kind finds, when all kinds are at work as they are in an ingest."""
        return frozenset((one.start, one.end) for one in redactions(self.text) if one.kind == self.kind)


@dataclass(frozen=True, slots=True)
class Scores:
    """Over places: one counts as found if it begins and ends where the label does."""

    places: int
    negatives: int
    """Texts without any of the kind."""
    precision: float
    recall: float


def labelled(kind: str) -> list[Labelled]:
    """The cases of a kind."""
    lines = (FOLDER / f"{kind}.txt").read_text("utf-8").split("\n")
    return [_read(kind, line.replace("\\n", "\n")) for line in lines if line and not line.startswith("# ")]


def scores(cases: list[Labelled]) -> Scores:
    """Precision and recall over all cases of a kind."""
    right = sum(len(case.found & case.places) for case in cases)
    taken, places = sum(len(case.found) for case in cases), sum(len(case.places) for case in cases)
    negatives = sum(not case.places for case in cases)
    return Scores(places, negatives, right / max(1, taken), right / max(1, places))


def _read(kind: str, line: str) -> Labelled:
    text, places = "", set()
    for outside, inside in re.findall(r"([^{}]*)(?:\{([^{}]*)\})?", line):
        text += outside
        if inside:
            places.add((len(text), len(text) + len(inside)))
            text += inside
    return Labelled(kind, text, frozenset(places))
