"""What is fixed when a lake is made, so that every worker agrees: ``otzyv.json`` in its root."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.lake.storage import Storage

FILE = "otzyv.json"
FORMAT = 1


class NoLake(RuntimeError):
    """There is no lake at the place."""


class OtherConstants(RuntimeError):
    """The settings ask for something else than what was fixed when the lake was made."""


class WrongKey(RuntimeError):
    """The secret that hashes authors is not the one this lake was made with."""


@dataclass(frozen=True, slots=True)
class Constants:
    """A lake's time zone, the precision its networks run in, and the check of its author key."""

    timezone: str = "UTC"
    precision: Literal["f32", "bf16"] = "bf16"
    author_key_check: str = ""
    format: int = FORMAT

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def check(self, asked: Mapping[str, str]) -> None:
        """Raises OtherConstants if one of the constants asked for by name is not the lake's."""
        for name, value in asked.items():
            if getattr(self, name) != value:
                raise OtherConstants(
                    f"the settings ask for {name} {value!r}, but this lake was made with {getattr(self, name)!r}, "
                    f"which can't be changed. Leave {name} out of the settings, or make another lake"
                )

    def check_author_key(self, key: str) -> None:
        """Raises WrongKey if authors would be hashed otherwise than they were before."""
        if self.author_key_check and not hmac.compare_digest(self.author_key_check, key_check(key)):
            raise WrongKey(
                "the author key is not the one this lake was made with: the same author would get two hashes. "
                "Set OTZYV_AUTHOR_KEY to the lake's key"
            )


def key_check(key: str) -> str:
    """Tells whether a key is the lake's without telling the key."""
    return hmac.new(key.encode(), b"otzyv author key check", hashlib.sha256).hexdigest()


def create(storage: Storage, constants: Constants) -> Constants:
    """Write the constants of a new lake, or read those it has. Of two makers at once one wins, both read the same."""
    try:
        ZoneInfo(constants.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"no time zone {constants.timezone!r}; give an IANA name such as Europe/Moscow") from error
    storage.write_new(FILE, json.dumps(asdict(constants), indent=2).encode() + b"\n")
    return read(storage)


def read(storage: Storage) -> Constants:
    """Raises NoLake where there is none."""
    if not storage.exists(FILE):
        raise NoLake(f"no lake at {storage.uri}: `otzyv run --source PATH --lake {storage.uri}` makes one")
    known = json.loads(storage.read(FILE))
    if known.get("format") != FORMAT:
        raise NoLake(f"the lake at {storage.uri} has format {known.get('format')!r}, this otzyv reads {FORMAT}")
    return Constants(**known)
