"""Extractors by name. Registering is decorating one function."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
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


_REGISTRY: dict[str, Extractor] = {}
FOLDERS = ("text", "image", "audio")
"""Where extractors lie, in the order they are listed to people: each module in there is looked for them."""
PCA = "pca_"


def register(card: Card, fit: Fit | None = None, cost: Cost | None = None) -> Callable[[Loader], Loader]:
    """Make an extractor known under its card's name. A second one of the same name is an error."""

    def add(load: Loader) -> Loader:
        if card.name in _REGISTRY:
            raise ValueError(f"an extractor named {card.name!r} is already registered")
        if card.fitted != (fit is not None):
            raise ValueError(f"extractor {card.name!r}: a fitted card goes with a function that fits, others without")
        _REGISTRY[card.name] = Extractor(card, load, fit, cost)
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


def _registry() -> Configured:
    """Every extractor there is on this machine. A part that is broken takes none of the others with it."""
    for module in modules():
        importlib.import_module(module)
    known = dict(sorted(_REGISTRY.items(), key=_place))
    unavailable: dict[str, Exception] = {}
    for module in ("text.embeddings_api", "custom.adapted", "custom.networks"):
        found: Configured = importlib.import_module(f"otzyv.tasks.extractors.{module}").configured(known)
        known |= found.extractors
        unavailable |= found.unavailable
    return Configured({name: known[name] for name in known if name not in unavailable}, unavailable)


def unavailable() -> dict[str, str]:
    """Extractors that the settings or the model store name and that can't be used, with the reason of each.

    Under ``settings`` stands why the settings can't be read at all.
    """
    return {name: str(error) for name, error in _registry().unavailable.items()}


@functools.cache
def modules() -> tuple[str, ...]:
    """The modules that may hold extractors, by folder and name."""
    folders = [importlib.import_module(f"otzyv.tasks.extractors.{folder}") for folder in FOLDERS]
    return tuple(f"{folder.__name__}.{one.name}" for folder in folders for one in pkgutil.iter_modules(folder.__path__))


def _place(item: tuple[str, Extractor]) -> int:
    """The place of an extractor's module in the list, whichever module was imported first."""
    module = item[1].load.__module__
    return modules().index(module) if module in modules() else len(modules())


def names(profile: str | None = None) -> tuple[str, ...]:
    """The registered extractors, or those of a profile (``embedded``, ``standard``)."""
    known = _registry().extractors
    if profile is None:
        return tuple(known)
    chosen = tuple(name for name, extractor in known.items() if profile in extractor.card.profiles)
    if not chosen:
        profiles = sorted({p for e in known.values() for p in e.card.profiles})
        raise LookupError(f"no profile {profile!r}; there are: {', '.join(profiles)}")
    return chosen


def in_order(wanted: Iterable[str]) -> tuple[str, ...]:
    """The names in their order, but those that read another one's table after it."""
    return tuple(sorted(wanted, key=lambda name: len(name) - len(re.sub(f"^({PCA})+", "", name))))


def get(name: str) -> Extractor:
    """The extractor of that name. LookupError lists the names there are.

    ``name@layer`` is an inner layer of it; ``pca_`` before a name reduces that one's vectors. Of an extractor that is
    unavailable the error is raised that says why: WrongSettings or WeightsError.
    """
    if name.startswith(PCA):
        from otzyv.tasks.extractors.vector.pca import of

        return of(get(name.removeprefix(PCA)).card)
    whole, at, layer = name.partition("@")
    found = _registry()
    known = found.extractors
    if whole not in known:
        for part in (whole, SETTINGS):
            if part in found.unavailable:
                raise found.unavailable[part]
        raise LookupError(f"no extractor {whole!r}; there are: {', '.join(known)}")
    return replace(known[whole], card=known[whole].card.at(layer)) if at else known[whole]
