"""Cleaning as an extractor: what every text extractor reads."""

from __future__ import annotations

from otzyv.schemas.tables import CLEAN_VALUES
from otzyv.tasks.extractors import Card, Extractor, Run, Weights
from otzyv.tasks.text.clean import VERSION, clean_rows


def _load(card: Card, weights: Weights | None) -> Run:
    return clean_rows


CLEANING = Extractor(
    Card(
        name="clean_text",
        version=VERSION,
        modality="raw",
        doc="the text after the cleaning rules, two ways",
        licence="Apache-2.0",
        source="the rules in tasks/text",
        columns=CLEAN_VALUES,
        batch_rows=1024,
    ),
    _load,
)
"""Cleaning is made, checked, reused and published like any extractor's table."""
