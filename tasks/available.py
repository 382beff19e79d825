"""Which extractors can run on a lake from this machine as it is."""

from __future__ import annotations

from tasks.artefacts import learned
from tasks.extractors import Card, get, names
from tasks.extractors.artefact import NeverFitted
from tasks.extractors.catalogue import entry
from tasks.lake import Lake
from tasks.lake.constants import NoLake

ALL = "all-available"


def available(lake_uri: str) -> tuple[str, ...]:
    """Those whose weights are here and, where they learn from a lake, that were fitted in this one; no paid API."""
    try:
        lake = Lake(lake_uri)
    except NoLake:
        lake = None
    cards = [get(name).card for name in names()]
    return tuple(card.name for card in cards if entry(card).here and (not card.fitted or _learned(lake, card)))


def _learned(lake: Lake | None, card: Card) -> bool:
    try:
        return lake is not None and bool(learned(lake, card))
    except NeverFitted:
        return False
