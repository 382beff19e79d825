"""How extractors fail."""

from __future__ import annotations

from otzyv.schemas.errors import EnvironmentFault, ModelError


class ExtractorFailed(ModelError):
    """An extractor broke its contract, or failed for another reason than memory. Holds nothing of the contents."""


class Unavailable(EnvironmentFault, OSError):
    """What an extractor asks elsewhere can't be had now; later it may. Holds nothing of the contents."""


class BrokenModule(ModelError):
    """A module from outside that defines extractors can't be imported, or what it defines can't be used."""


class NotImported(BrokenModule):
    """A module that is to define extractors can't be imported, so that nobody knows which."""
