"""Which extractors can run on a lake from this machine as it is, and what the others want."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from otzyv.tasks.extractors import Card, get, names, unavailable
from otzyv.tasks.extractors.catalogue import entry
from otzyv.tasks.extractors.fitted import NeverFitted
from otzyv.tasks.extractors.text.embeddings_api import KEY
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import NoLake
from otzyv.tasks.models.store import choose, how_to_fix, present
from otzyv.tasks.pipeline.artefacts import learned

ALL = "all-available"


@dataclass(frozen=True, slots=True)
class Available:
    """Names of extractors: those that can run, and those left out for want of a fit, of weights, or of money."""

    lake: str
    names: tuple[str, ...]
    never_fitted: tuple[str, ...]
    without_weights: tuple[str, ...]
    paid: tuple[str, ...]
    unavailable: Mapping[str, str]
    """Name -> why its settings or its files can't be used."""

    @property
    def left_out(self) -> Iterator[str]:
        """A line for each kind that is left out: which, and what brings them."""
        for name, reason in self.unavailable.items():
            yield f"left out, unavailable: {name}: {reason}"
        if self.never_fitted:
            yield (
                f"left out, never fitted in this lake: {', '.join(self.never_fitted)}; "
                f"`otzyv fit NAME --lake {self.lake}` has one learn from its reviews"
            )
        if self.without_weights:
            yield (
                f"left out, weights not here: {', '.join(self.without_weights)}; "
                "`otzyv models pull NAME` fetches those of one"
            )
        if self.paid:
            yield (
                f"left out, paid for: {', '.join(self.paid)}; to have it, name it beside {ALL}, with [openai] in the "
                f"settings and the key in {KEY}"
            )


def available(lake_uri: str, beside: Collection[str] = ()) -> Available:
    """Those whose weights are here and, where they learn from a lake, that were fitted in this one; no paid API.

    ``beside``: names of which nothing is said, since they are asked for anyway.
    """
    try:
        lake = Lake(lake_uri)
    except NoLake:
        lake = None
    cards = [get(name).card for name in names() if name not in beside]
    paid = tuple(card.name for card in cards if card.backend == "api")
    unfitted = tuple(card.name for card in cards if card.fitted and not _learned(lake, card))
    bare = tuple(card.name for card in cards if card.name not in paid and not entry(card).here)
    runs = tuple(card.name for card in cards if card.name not in (*paid, *unfitted, *bare))
    return Available(lake_uri, runs, unfitted, bare, paid, unavailable())


def without_weights(chosen: Iterable[str]) -> dict[str, str]:
    """Of the extractors those whose weights are not on this machine, and what brings them."""
    cards = [get(name).card for name in chosen]
    wanted = [(card.name, weights) for card in cards if (weights := choose(card)) and not present(card.name, weights)]
    return {name: how_to_fix(name, weights, [file.name for file in weights.files]) for name, weights in wanted}


def _learned(lake: Lake | None, card: Card) -> bool:
    try:
        return lake is not None and bool(learned(lake, card))
    except NeverFitted:
        return False
