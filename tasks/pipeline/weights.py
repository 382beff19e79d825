"""Which weights an extractor runs on in a lake: its card's, with every sha256 in full, the same for all workers.

A source may publish no sha256, or its first digits alone, and a card may accept several sets. Then the set that a lake
meets first is recorded in it, and no other makes a row there until the card itself names another.
"""

from __future__ import annotations

from dataclasses import replace

from otzyv.tasks.extractors import Card, Weights
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.weights import LakeWeights, record, recorded
from otzyv.tasks.models.store import WeightsError, choose, digest, locate


def resolve_weights(lake: Lake, card: Card) -> Weights | None:
    """The weights on the lake's record, else those in the model store; as in the card where they are not there.

    Writes nothing. No file is read where the card or the record says all.
    """
    chosen = choose(card)
    if chosen is None or _card_decides(card):
        return chosen
    known = recorded(lake.storage, card.name)
    if known and (held := _of_card(card, known)):
        return held
    try:
        digests = digest(card.name, chosen)
    except WeightsError:
        return chosen
    return _of_card(card, LakeWeights(chosen.source, chosen.revision, digests))


def pin(lake: Lake, card: Card, weights: Weights, *, unread: bool) -> None:
    """Before the first row: see that the weights at hand are those on the lake's record, made now if there is none.

    ``unread``: no content is to be computed, so that weights already on record need not be there. Raises
    MissingWeights or WrongWeights.
    """
    if _card_decides(card) or (unread and all(len(file.sha256) == 64 for file in weights.files)):
        return
    try:
        mine = LakeWeights(weights.source, weights.revision, digest(card.name, weights))
        held = record(lake.storage, card.name, mine, lambda known: _of_card(card, known) is not None)
        if held != mine and (theirs := _of_card(card, held)):
            locate(card.name, theirs)
    except WeightsError as error:
        known = recorded(lake.storage, card.name)
        if known is None or not _of_card(card, known):
            raise
        raise type(error)(
            f"{error}. The rows in {lake.uri} are made with these weights alone (its table models): move any other "
            f"file away from that place first, or make a new lake for the other weights"
        ) from error


def _card_decides(card: Card) -> bool:
    """Whether the card alone names the bytes: one set of weights, each file with its whole sha256."""
    return len(card.weights) < 2 and all(len(file.sha256) == 64 for weights in card.weights for file in weights.files)


def _of_card(card: Card, known: LakeWeights) -> Weights | None:
    """The card's weights that these are, with their sha256 in full; None where the card now names others."""
    for weights in card.weights:
        if (
            (weights.source, weights.revision) == (known.source, known.revision)
            and {file.name for file in weights.files} == set(known.files)
            and all(known.files[file.name].startswith(file.sha256) for file in weights.files)
        ):
            return replace(weights, files=tuple(replace(file, sha256=known.files[file.name]) for file in weights.files))
    return None
