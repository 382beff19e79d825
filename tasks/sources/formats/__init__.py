"""The formats that can be read: each module here defines one, as ``FORMAT``, and is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from otzyv.tasks.sources.format import Format
from otzyv.tasks.sources.packing import PACKED

FORMATS: tuple[Format, ...] = tuple(
    importlib.import_module(f"{__name__}.{module.name}").FORMAT for module in pkgutil.iter_modules(__path__)
)
BY_ENDING = {
    ending + packed: each
    for each in FORMATS
    for ending in each.endings
    for packed in ("", *(PACKED if each.text else ()))
}
"""Every ending that can be read, with its format."""
