"""What an extractor is. Registering one is decorating the function that loads it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.fitted import Artefact
from otzyv.tasks.models.weights import Weights

Loader = Callable[[Card, Weights | None], Run]
"""Loads the model (imports of heavy libraries happen in here) and gives the function that maps contents to features."""
Fit = Callable[[Card, Iterable[Any]], Artefact]
"""Learns from decoded contents, given once and in an order that does not change; the same for the same contents."""
Cost = Callable[[Card, Iterable[str]], "float | None"]
"""What a paid API will ask for these contents; None where that can't be told before."""


@dataclass(frozen=True, slots=True)
class Extractor:
    card: Card
    load: Loader
    fit: Fit | None = None
    cost: Cost | None = None


REGISTERED: dict[str, Extractor] = {}
"""What ``register`` was told of by modules of this folder, by name."""
OUTSIDE: dict[str, dict[str, Extractor]] = {}
"""What it was told of by any other module: module -> name -> extractor. See ``custom.modules``."""


def register(card: Card, fit: Fit | None = None, cost: Cost | None = None) -> Callable[[Loader], Loader]:
    """Make an extractor known under its card's name. A second one of the same name in a module is an error.

    The name of one of ours stays ours, whichever module is imported first: a module from elsewhere only says what it
    has, and whether that can be used is decided once all are known. There, a function that is defined again (a cell of
    a notebook, a module imported once more) takes its former place.
    """
    module = str(sys._getframe(1).f_globals.get("__name__"))  # the function's own module may be another: ours, shared
    known = REGISTERED if module.startswith(f"{__package__}.") else OUTSIDE.setdefault(module, {})

    def add(load: Loader) -> Loader:
        former = known.get(card.name)
        if former and (known is REGISTERED or former.load.__qualname__ != load.__qualname__):
            raise ValueError(f"an extractor named {card.name!r} is already registered")
        if card.fitted != (fit is not None):
            raise ValueError(f"extractor {card.name!r}: a fitted card goes with a function that fits, others without")
        known[card.name] = Extractor(card, load, fit, cost)
        return load

    return add


@dataclass(frozen=True, slots=True)
class Configured:
    """The extractors that a part of the settings or of the model store describes, and what could not be read of it.

    ``unavailable``: the extractor's name -> why it can't be used; ``SETTINGS`` where no name can be told.
    """

    extractors: dict[str, Extractor]
    unavailable: dict[str, Exception]


SETTINGS = "settings"
