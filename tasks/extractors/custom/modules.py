"""Extractors of modules from outside, which the setting ``extractor_modules`` or an installed package names.

Such a module registers as ours do, and is imported in every process that asks for extractors, so that workers know the
same ones. What is broken takes neither ours nor those of another module with it.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata

from otzyv.tasks.extractors.errors import BrokenModule, NotImported
from otzyv.tasks.extractors.extractor import OUTSIDE, SETTINGS, Configured, Extractor
from otzyv.tasks.extractors.settings import WrongSettings, extractor_settings

GROUP = "otzyv.extractors"
"""The group of entry points under which an installed package names its modules."""
_NAME = re.compile(r"(text|image|audio|sentiment)_[a-z0-9_]{1,50}")
"""No table of the lake is named so, nor what is made of another extractor."""


def configured(registered: Collection[str]) -> Configured:
    """Every extractor that a module from outside registered; unavailable are those that can't be used.

    A name among ``registered`` stays what it is. A name that two modules have is neither's.
    """
    unavailable: dict[str, Exception] = {}
    named = dict(_installed())
    try:
        named |= dict.fromkeys(_in_settings(), "the setting extractor_modules")
    except WrongSettings as error:
        unavailable[SETTINGS] = error
    broken = {
        module: f"{where} names {module}, which can't be imported: {why}"
        for module, where in named.items()
        if (why := _imported(module))
    }
    unavailable |= {module: NotImported(why) for module, why in broken.items()}
    made: dict[str, Extractor] = {}
    for name, modules in _registered().items():
        if name in registered:  # which stays what it is
            unavailable |= {
                f"{module}.{name}": BrokenModule(f"{module} registers {name!r}, a name that one of otzyv's own has")
                for module in modules
            }
            continue
        (module, extractor), *others = modules.items()
        why = next((broken[part] for part in _parents(module) if part in broken), None)
        if others:
            unavailable[name] = BrokenModule(
                f"{' and '.join(modules)} each register an extractor {name!r}: rename one, or leave one module out"
            )
        elif fault := why or _fault(extractor):
            unavailable[name] = BrokenModule(fault if why else f"{module} registers {name!r}: {fault}")
        else:
            made[name] = extractor
    return Configured(made, unavailable)


def _in_settings() -> list[str]:
    if not any(name.upper() in ("OTZYV_SETTINGS", "OTZYV_EXTRACTOR_MODULES") for name in os.environ):
        return []
    return extractor_settings().extractor_modules


@functools.cache
def _installed() -> Mapping[str, str]:
    """Module -> where it is named. A process sees the packages that were there when it first asked."""
    found = sorted(metadata.entry_points(group=GROUP), key=lambda point: (point.value, point.name))
    return {point.value.partition(":")[0].strip(): f"the entry point {point.name!r} in {GROUP}" for point in found}


@functools.cache
def _imported(module: str) -> str | None:
    """Why a module can't be imported; None where it is. What failed once is not run again in this process."""
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever code of others may raise
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name in {*_parents(module)}
        return f"{why}; install it beside otzyv, or name its folder in PYTHONPATH" if missing else why
    return None


def _registered() -> Mapping[str, Mapping[str, Extractor]]:
    """Name -> module -> extractor. Of a module that failed halfway stands what it registered before."""
    found: dict[str, dict[str, Extractor]] = defaultdict(dict)
    for module, extractors in list(OUTSIDE.items()):
        for name, extractor in list(extractors.items()):
            found[name][module] = extractor
    return found


def _parents(module: str) -> Iterator[str]:
    """The module and the packages it lies in."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _fault(extractor: Extractor) -> str | None:
    """What is wrong with an extractor's card."""
    if not _NAME.fullmatch(extractor.card.name):
        return "a name begins with text_, image_, audio_ or sentiment_ and goes on in a-z, 0-9 and _"
    try:
        return "; ".join(extractor.card.faults()) or None
    except Exception as error:  # its columns may be anything
        return f"its card is broken: {type(error).__name__}: {error}"
