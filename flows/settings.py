"""All settings, in one place: environment variables ``OTZYV_…`` over a TOML file (``OTZYV_SETTINGS``) over defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from otzyv.flows.days import Count
from otzyv.flows.server import kept
from otzyv.tasks.alerts.settings import AlertLimits, AlertSettings
from otzyv.tasks.extractors.settings import TABLES as OF_EXTRACTORS
from otzyv.tasks.extractors.settings import ExtractorSettings, WrongSettings, meant, read
from otzyv.tasks.lake import config
from otzyv.tasks.lake.config import NoLake, WrongKey
from otzyv.tasks.lake.delta.storage import Storage
from otzyv.tasks.lake.upkeep.maintain import Keep
from otzyv.tasks.quality.verdict import Limits
from otzyv.tasks.sources import COLUMNS, Dates
from otzyv.tasks.sources.encoding import known
from otzyv.tasks.sources.web import host_name
from otzyv.tasks.text.redact import Redact

SHORTEST_KEY = 8
SOURCE_NAME = r"[\w.-]{1,64}"


class Settings(ExtractorSettings, AlertSettings):
    """What a run needs beside its command line."""

    model_config = SettingsConfigDict(extra="forbid")

    timezone: str = Field("UTC", description="time zone that decides a review's day; fixed when a lake is made")
    precision: Literal["bf16", "f32"] = Field("bf16", description="precision of networks; fixed when a lake is made")
    profile: str = Field("embedded", description="extractors that run when none are named")
    attachment_hosts: list[str] = Field(
        default_factory=list,
        description="hosts that attached files may be fetched from over https",
        examples=[["cdn.example"]],
    )
    source_mode: Literal["append", "snapshot"] = Field(
        "append", description="append: what a source no longer holds stays; snapshot: it is gone"
    )
    source_name: str | None = Field(
        None,
        pattern=f"^{SOURCE_NAME}$",
        description="tells a source from others that fill the same lake",
        examples=["shop"],
    )
    allow_gone: bool = Field(False, description="what a snapshot lacks is gone even where it may not be whole")
    refused_share: float = Field(
        0.2, ge=0, le=1, description="share of records refused, beyond which an ingest has failed"
    )
    mapping: dict[str, str] = Field(
        default_factory=dict, description="otzyv's column = the source's column", examples=[{"review_id": "id"}]
    )
    encoding: str | None = Field(
        None, description="encoding of sources whose bytes do not tell it", examples=["cp1251"]
    )
    dates: Dates = Field("iso", description="how dates are written that could be meant in several ways")
    redact: Redact = Field(default_factory=Redact, description="personal data that an ingest takes out of texts")
    span_seconds: float = Field(
        60, ge=0, description="seconds of work for which days are made together, about; 0 makes each by itself"
    )
    verdict: Limits = Field(
        default_factory=Limits, description="limits beyond which a day is held for a person to look at"
    )
    partial: bool = Field(
        False, description="readers see a day whose other tables stand when some of its tables failed"
    )
    maintain: Keep = Field(default_factory=Keep, description="what `otzyv maintain` leaves alone")
    author_key: SecretStr | None = Field(
        None,
        min_length=SHORTEST_KEY,
        description="secret that hashes authors; made at first use if not given",
        examples=["at least 8 characters, kept for as long as the lake"],
    )

    lake: str | None = Field(
        None, description="the lake that scheduled runs and Prefect's pages work on", examples=["s3://bucket/lake"]
    )
    allowed_lakes: list[str] = Field(
        default_factory=list,
        description="lakes beside that one which a run through Prefect's API may name",
        examples=[["s3://bucket/other"]],
    )
    source: str | None = Field(
        None, description="what the daily run brings in; may hold {day}", examples=["incoming/{day}.jsonl"]
    )
    cron: str = Field("0 3 * * *", description="when the daily run starts, in the lake's time zone")
    catch_up: Count = Field(
        7, description="how many days the first daily run makes; later ones make all that came in since"
    )
    settle_seconds: float = Field(
        10, ge=0, description="the daily run reads a file once it was not changed for so many seconds"
    )
    slots: int = Field(1, ge=1, description="how many runs `otzyv serve` works on at a time")
    lineage: bool = Field(
        False,
        description="tell OpenLineage of every table and day made; where, OPENLINEAGE_URL or OPENLINEAGE_CONFIG say",
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {name!r}; give an IANA name such as Europe/Moscow") from None
        return name

    @field_validator("attachment_hosts")
    @classmethod
    def _known_hosts(cls, hosts: list[str]) -> list[str]:
        return [host_name(host) for host in hosts]

    @field_validator("mapping")
    @classmethod
    def _known_columns(cls, mapping: dict[str, str]) -> dict[str, str]:
        unknown = sorted(mapping.keys() - set(COLUMNS))
        if unknown:
            raise ValueError(f"no column {', '.join(map(repr, unknown))}; there are: {', '.join(COLUMNS)}")
        return mapping

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        try:
            return name and known(name)
        except LookupError:
            raise ValueError(f"no encoding {name!r}; there are: cp1251, koi8-r, cp866, utf-16 and others") from None

    @field_validator("cron")
    @classmethod
    def _known_cron(cls, cron: str) -> str:
        from prefect.client.schemas.schedules import CronSchedule

        try:
            CronSchedule(cron=cron)
        except ValidationError:
            raise ValueError(f"{cron!r} is no cron line; for three o'clock each day write '0 3 * * *'") from None
        return cron

    @property
    def constants(self) -> dict[str, Any]:
        """What is fixed when a lake is made, as far as it was set and not left to the defaults."""
        return self.model_dump(include={"timezone", "precision"}, exclude_unset=True)

    def key(self, lake: str) -> SecretStr:
        """The author key for a lake: from the environment, else the one in the home folder, for its owner only.

        It is made there once, but for a lake that was made with another: that raises WrongKey.
        """
        if self.author_key is not None:
            return self.author_key
        has_one = _keyed(lake)
        try:
            path = kept.folder() / "author.key"
            key = "" if has_one and not path.exists() else kept.made_once(path)
        except (OSError, RuntimeError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise WrongSettings(
                f"the author key can't be kept in the home folder ({said}): set OTZYV_AUTHOR_KEY"
            ) from error
        if has_one and not key:
            raise WrongKey(
                f"the author key that this lake was made with is not here: bring it back to {path}, or set "
                "OTZYV_AUTHOR_KEY to it"
            )
        if len(key) < SHORTEST_KEY:
            raise WrongSettings(
                f"{path} holds no key of at least {SHORTEST_KEY} characters: bring it back, or set OTZYV_AUTHOR_KEY"
            )
        return SecretStr(key)


def _keyed(lake: str) -> bool:
    try:
        return bool(config.read(Storage(lake)).author_key_check)
    except NoLake:
        return False


TABLES: Mapping[str, type[BaseModel]] = {
    "": Settings,
    "redact": Redact,
    "verdict": Limits,
    "maintain": Keep,
    "alerts": AlertLimits,
    **OF_EXTRACTORS,
}
"""The keys of each table, under "" those that stand in none."""
_OTHERS = {"OTZYV_SETTINGS", "OTZYV_MODELS", "OTZYV_TORTURE", "OTZYV_TEST_PICTURES"}
"""Variables that are read elsewhere: the file, the model store, and those of the tests."""


def load() -> Settings:
    """The settings as the environment and the file have them. Raises WrongSettings, which tells no secret."""
    _check_names(os.environ)
    return read(Settings, TABLES)


def _check_names(environment: Iterable[str]) -> None:
    """Raises WrongSettings for a variable that only looks like a setting, so that none is mistyped unseen."""
    known = sorted({f"OTZYV_{name.upper()}" for name in Settings.model_fields} | _OTHERS)
    for name in sorted(environment):
        if name.upper().startswith("OTZYV_") and name.upper() not in known:
            raise WrongSettings(
                f"settings: no setting is in the environment variable {name}; {meant(name.upper(), known)}"
            )
