"""Runs that are refused for what they ask."""

from __future__ import annotations

from otzyv.schemas.errors import InputError


class Refused(InputError):
    """A run asks for what none through Prefect's API may have."""
