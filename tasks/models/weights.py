"""Which weights a model accepts: their files, sources and licences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model. ``sha256`` is 64 hex digits, or the prefix its source publishes (torchvision: 8)."""

    name: str
    sha256: str
    url: str | None = None
    bytes: int | None = None
    about: int | None = None
    """Roughly how many bytes, where no source tells the exact number."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One accepted set of weights. Its files lie in the model store under ``<extractor>/<file name>``."""

    source: str
    revision: str
    licence: str
    files: tuple[File, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    """What changes with these weights, e.g. ``(("resize", 256),)``; part of the fingerprint."""
    folder: str = ""
    """Where its files lie instead of ``<extractor>``: in another folder of the store, or in an absolute one outside."""


class NamesWeights(Protocol):
    """What names the weights it accepts, the preferred first: the card of an extractor."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> tuple[Weights, ...]: ...
