"""What is fixed when a lake is made, so that every worker agrees: ``otzyv.json`` in its root."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from otzyv.schemas.errors import InvalidInput, LakeError
from otzyv.tasks.lake.delta.storage import Storage

FILE = "otzyv.json"
FORMAT = 2
"""1: logs bore no seals, and this file no checksum."""


class NoLake(LakeError):
    """There is no lake at the place."""


class FormerFormat(LakeError):
    """A former otzyv made the lake; the doctor brings it to this one's format."""


class DamagedConstants(LakeError):
    """The file of a lake's constants is not as it was written."""


class OtherConstants(LakeError):
    """The settings ask for something else than what was fixed when the lake was made."""


class WrongKey(LakeError):
    """The secret that hashes authors is not the one this lake was made with."""


@dataclass(frozen=True, slots=True)
class LakeConfig:
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


def create(storage: Storage, constants: LakeConfig) -> LakeConfig:
    """Write the constants of a new lake, or read those it has. Of two makers at once one wins, both read the same."""
    try:
        ZoneInfo(constants.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInput(f"no time zone {constants.timezone!r}; give an IANA name such as Europe/Moscow") from error
    storage.write_new(FILE, _written(asdict(constants)))
    return read(storage)


def read(storage: Storage) -> LakeConfig:
    """Raises NoLake where there is none, DamagedConstants and FormerFormat."""
    if not storage.exists(FILE):
        raise NoLake(f"no lake at {storage.uri}: `otzyv run --source PATH --lake {storage.uri}` makes one")
    known = checked(storage.read(FILE))
    cure = f"otzyv doctor --repair --lake {storage.uri}"
    if known is None:
        raise DamagedConstants(f"{storage.at(FILE)} is not as it was written; `{cure}` repairs a flipped bit")
    if known["format"] == 1:
        raise FormerFormat(
            f"the lake at {storage.uri} has format 1, whose logs bear no seals that tell damage; `{cure}` seals it as "
            f"it stands, and brings it to format {FORMAT}"
        )
    if known["format"] != FORMAT:
        raise NoLake(f"the lake at {storage.uri} has format {known['format']!r}, this otzyv reads {FORMAT}")
    return LakeConfig(**known)


def checked(data: bytes) -> dict[str, Any] | None:
    """What the file says, but for its checksum; None if it is not as it was written. Format 1 had no checksum."""
    try:
        known = dict(json.loads(data))
        told = known.pop(CHECKSUM, None)
    except (ValueError, TypeError):
        return None
    right = told == _digest(known) if told is not None or known.get("format") != 1 else known.keys() == _FIELDS
    return known if right else None


def bring_to_format(storage: Storage) -> None:
    """Write the constants of a lake of format 1 as this format has them."""
    known = checked(storage.read(FILE))
    assert known is not None
    storage.write(FILE, _written(known | {"format": FORMAT}))


CHECKSUM = "checksum"
_FIELDS = LakeConfig.__dataclass_fields__.keys()


def _written(known: Mapping[str, Any]) -> bytes:
    return json.dumps({**known, CHECKSUM: _digest(known)}, indent=2).encode() + b"\n"


def _digest(known: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
