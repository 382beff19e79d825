"""Why an attached file can't be decoded: a closed set of reasons, and the status of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Status = Literal["undecodable", "too_large", "unsupported"]
Reason = Literal[
    "empty", "damaged", "cut_short", "not_numbers", "too_long", "too_many_pixels", "unknown_format", "no_decoder",
    "no_sound", "rate_or_channels",
]  # fmt: skip

STATUS: Mapping[Reason, Status] = MappingProxyType({
    "empty": "undecodable",  # no bytes, or no sample in them
    "damaged": "undecodable",
    "cut_short": "undecodable",  # its end is missing
    "not_numbers": "undecodable",  # samples that are NaN or infinite
    "too_long": "too_large",
    "too_many_pixels": "too_large",
    "unknown_format": "unsupported",
    "no_decoder": "unsupported",  # a coding, within a known format, that is not read here
    "no_sound": "unsupported",  # a video without a sound track
    "rate_or_channels": "unsupported",
})  # fmt: skip
"""Why a content can't be decoded, and the status that its row gets."""

IN_WORDS: Mapping[Reason, str] = MappingProxyType({
    "empty": "nothing in it",
    "damaged": "damaged",
    "cut_short": "its end is missing",
    "not_numbers": "samples that are no numbers",
    "too_long": "too long",
    "too_many_pixels": "too many pixels",
    "unknown_format": "a format that is not read",
    "no_decoder": "a coding that is not read",
    "no_sound": "a video without sound",
    "rate_or_channels": "a sample rate or a number of channels that is not read",
})  # fmt: skip


class Refused(Exception):
    """The content can't be decoded; ``reason`` says why. It holds nothing of the content or of a library's message."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.status: Status = STATUS[reason]
