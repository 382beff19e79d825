"""Extractors by name: those of this project, those from outside and of the settings, and those made of another one."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import replace

from otzyv.schemas.errors import NotFound
from otzyv.tasks.extractors.errors import NotImported
from otzyv.tasks.extractors.extractor import REGISTERED, SETTINGS, Configured, Extractor
from otzyv.tasks.extractors.vector.pca import PCA, of

FOLDERS = ("text", "image", "audio")
"""Where extractors lie, in the order they are listed to people: each module in there is looked for them."""


def _registry() -> Configured:
    """Every extractor there is on this machine. A part that is broken takes none of the others with it."""
    known = dict(sorted(_shipped().items(), key=_place))
    unavailable: dict[str, Exception] = {}
    for module in ("custom.modules", "text.embeddings_api", "custom.adapted", "custom.networks"):
        found: Configured = importlib.import_module(f"otzyv.tasks.extractors.{module}").configured(known)
        known |= found.extractors
        unavailable |= found.unavailable
    return Configured({name: known[name] for name in known if name not in unavailable}, unavailable)


def unavailable() -> dict[str, str]:
    """Extractors that are named somewhere and can't be used, with the reason of each.

    Under ``settings`` stands why the settings can't be read at all; under a module's name, why it can't be imported.
    """
    return {name: str(error) for name, error in _registry().unavailable.items()}


@functools.cache
def modules() -> tuple[str, ...]:
    """The modules that may hold extractors, by folder and name."""
    folders = [importlib.import_module(f"otzyv.tasks.extractors.{folder}") for folder in FOLDERS]
    return tuple(f"{folder.__name__}.{one.name}" for folder in folders for one in pkgutil.iter_modules(folder.__path__))


@functools.cache
def _shipped() -> dict[str, Extractor]:
    """Those of this project, in no order. They stay what they are, whatever others are named."""
    for module in modules():
        importlib.import_module(module)
    return REGISTERED


def _place(item: tuple[str, Extractor]) -> tuple[int, int, int]:
    """Where people find an extractor in a list: by modality, what every machine has first, then by module."""
    card, module = item[1].card, item[1].load.__module__
    if module not in modules():
        return len(FOLDERS), 0, 0
    folder = FOLDERS.index(module.split(".")[-2])
    profile = next((rank for rank, name in enumerate(("embedded", "standard")) if name in card.profiles), 2)
    return folder, profile, modules().index(module)


def shipped() -> tuple[str, ...]:
    """The extractors that otzyv itself ships: the same on every machine."""
    return tuple(name for name in names() if name in REGISTERED)


def names(profile: str | None = None) -> tuple[str, ...]:
    """The registered extractors, or those of a profile (``embedded``, ``standard``)."""
    known = _registry().extractors
    if profile is None:
        return tuple(known)
    chosen = tuple(name for name, extractor in known.items() if profile in extractor.card.profiles)
    if not chosen:
        profiles = sorted({p for e in known.values() for p in e.card.profiles})
        raise NotFound(f"no profile {profile!r}; there are: {', '.join(profiles)}")
    return chosen


def in_order(wanted: Iterable[str]) -> tuple[str, ...]:
    """The names in their order, but those that read another one's table after it."""
    return tuple(sorted(wanted, key=lambda name: len(name) - len(re.sub(f"^({PCA})+", "", name))))


def get(name: str) -> Extractor:
    """The extractor of that name. LookupError lists the names there are.

    ``name@layer`` is an inner layer of it; ``pca_`` before a name reduces that one's vectors. Of an extractor that is
    unavailable the error is raised that says why: WrongSettings, WeightsError or BrokenModule.
    """
    if name.startswith(PCA):
        return of(get(name.removeprefix(PCA)).card)
    whole, at, layer = name.partition("@")
    known = _shipped()
    if whole not in known or known[whole].card.backend == "api":  # whose model is what the settings say
        found = _registry()
        known = found.extractors
    if whole not in known:
        for part in (whole, SETTINGS):
            if part in found.unavailable:
                raise found.unavailable[part]
        missing = [str(error) for error in found.unavailable.values() if isinstance(error, NotImported)]
        raise NotFound("; ".join([f"no extractor {whole!r}; there are: {', '.join(known)}", *missing]))
    return replace(known[whole], card=known[whole].card.at(layer)) if at else known[whole]
