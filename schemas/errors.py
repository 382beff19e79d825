"""The errors that are sentences for people. The command prints them as they are; any other error is a fault of ours.

OtzyvError
├── InputError         what was asked for or given can't be: a name, a day, a file of reviews
│   ├── NotFound       there is no such thing; it says what there is
│   └── InvalidInput   a value that can't be meant
├── LakeError          what a lake holds, or how it was found
├── ModelError         weights, extractors and what they learned
├── SettingsError      the settings' file or the environment's variables
├── EnvironmentFault   what is temporarily unavailable or not set up: a server, a network, a disk
└── WorkFailed         a run ended with something not made; what was made stands
"""

from __future__ import annotations


class OtzyvError(Exception):
    """The root. Its text is a whole sentence: what is wrong, where, and what would work."""


class InputError(OtzyvError):
    """What was asked for or given can't be."""


class NotFound(InputError, LookupError):
    """There is no such thing; the text says what there is."""


class InvalidInput(InputError, ValueError):
    """A value that can't be meant."""


class LakeError(OtzyvError):
    """What a lake holds, or how it was found."""


class ModelError(OtzyvError):
    """Weights, extractors and what they learned."""


class SettingsError(OtzyvError):
    """The settings' file or the environment's variables."""


class EnvironmentFault(OtzyvError):
    """What is temporarily unavailable or not set up."""


class WorkFailed(OtzyvError):
    """A run ended with something not made; what was made stands."""
