"""How well each kind of personal data is found, on the labelled cases (tests/tasks/text/cases/personal)."""

from __future__ import annotations

from collections.abc import Iterator

from otzyv.tasks.text.redact import KINDS
from tests.bench.figure import Figure
from tests.tasks.text.labelled import labelled, scores

LEAST = ">= 0.95"


def figures() -> Iterator[Figure]:
    for kind in KINDS:
        reached = scores(labelled(kind.name))
        detail = f"{reached.places} places, {reached.negatives} texts without; invented cases, kept with the tests"
        yield Figure(f"redaction of {kind.name}, precision", reached.precision, LEAST, detail, unit="")
        yield Figure(f"redaction of {kind.name}, recall", reached.recall, LEAST, detail, unit="")
