"""An extractor as a lake runs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from otzyv.schemas.errors import OtzyvError
from otzyv.tasks.extractors import Card, Extractor, Weights, get
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.artefacts import brought, learned
from otzyv.tasks.pipeline.weights import resolve_weights


def configured(lake: Lake, extractor: Extractor) -> tuple[Extractor, Weights | None]:
    """The extractor as this lake runs it: in the lake's precision where the card offers it, on the lake's weights.

    Writes nothing, and reads no weights that the lake has on record. Raises NeverFitted.
    """
    card = in_lake(lake, extractor.card)
    if card.fitted:
        return replace(extractor, card=card, load=brought(lake, extractor.load)), learned(lake, card)
    return replace(extractor, card=card), resolve_weights(lake, card)


def in_lake(lake: Lake, card: Card) -> Card:
    """The card in the lake's precision where it offers that, and with the fingerprint of the table that it reads."""
    if lake.constants.precision in card.precisions:
        card = replace(card, precision=lake.constants.precision)
    if card.reads is not None:
        source, weights = configured(lake, get(card.reads.name))
        card = replace(card, settings=(*card.settings, ("reads", source.card.fingerprint(weights))))
    return card


def unconfigured(lake: Lake, names: Iterable[str]) -> dict[str, OtzyvError]:
    """Those of the extractors that can't run in this lake as things are, and why."""
    found = {}
    for name in names:
        try:
            configured(lake, get(name))
        except OtzyvError as error:
            found[name] = error
    return found
