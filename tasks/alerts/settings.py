"""The settings of alerts. A run reads them separately, so that it can send an alert when other settings are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from otzyv.tasks.alerts.sending import is_address, key_bytes
from otzyv.tasks.alerts.state import Repeats
from otzyv.tasks.extractors.settings import FromFile, WrongSettings, read


class AlertLimits(BaseModel):
    """When an alert is sent, and how often it is repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    late_minutes: float = Field(60, gt=0, description="minutes after which a run that has not begun is late")
    no_success_hours: float = Field(
        26, gt=0, description="hours without a successful daily run; more where `cron` starts it less than once a day"
    )
    disk_free_gib: float = Field(5, ge=0, description="GiB that are to be free on the disks of lake and server")
    again_hours: float = Field(6, gt=0, description="hours after which it is told again that something is still wrong")
    repeats: int = Field(3, ge=0, description="how often it is told again, at most")


def _addresses(given: Any) -> Any:
    """From the environment: addresses with spaces or commas between them, or a list as JSON has it.

    An address may hold commas as well: one parts two of them where another address begins after it.
    """
    if not isinstance(given, str):
        return given
    with suppress(ValueError):
        return json.loads(given)
    return [each for each in re.split(r",?\s+|,(?=[\w+.-]+://)", given) if each]


class AlertSettings(FromFile):
    """Who receives alerts, and when. An invalid address is no error here: it must not stop a run."""

    webhook: SecretStr | None = Field(
        None, description="URL that alerts are posted to as JSON", examples=["https://hooks.example/otzyv"]
    )
    webhook_key: SecretStr | None = Field(
        None,
        description="secret that signs what is posted, as standardwebhooks.com has it",
        examples=["whsec_bm90IGEgc2VjcmV0LCBhbiBleGFtcGxl"],
    )
    receivers: Annotated[list[SecretStr], NoDecode, BeforeValidator(_addresses)] = Field(
        default_factory=list,
        description="further receivers of alerts (Slack, Telegram, e-mail, …), as addresses of apprise",
        examples=[["tgram://123456789:AAabcdefghijklmnopqrstuvwxyz123456/12315544"]],
    )
    ping: SecretStr | None = Field(
        None,
        description="URL that is asked for after each good daily run: a service that misses it tells",
        examples=["https://ping.example/otzyv"],
    )
    alerts: AlertLimits = Field(
        default_factory=AlertLimits, description="when a person is told that something is wrong"
    )

    @property
    def repeats(self) -> Repeats:
        return Repeats(self.alerts.again_hours * 3600, self.alerts.repeats)

    def check_receivers(self) -> None:
        """Raises WrongSettings for an address that can't be one; it tells no part of it, as each may be a secret."""
        if wrong := list(self._wrong()):
            raise WrongSettings(f"settings: {'; '.join(wrong)}")

    def _wrong(self) -> Iterator[str]:
        for name, address in (("webhook", self.webhook), ("ping", self.ping)):
            if address and not is_address(address.get_secret_value()):
                yield f"{name}: it is no address, as https://host/path or http://host:8080/path"
        if self.webhook_key:
            try:
                key_bytes(self.webhook_key.get_secret_value())
            except ValueError as error:
                yield f"webhook_key: {error}"
        if self.receivers:
            from otzyv.tasks.alerts.by_apprise import known  # its library takes a third of a second to import

            for number, each in enumerate(self.receivers, start=1):
                if known(each.get_secret_value()) is None:
                    yield f"receivers: number {number} is no address of a service that apprise knows, or lacks a part"


class _OfEnvironment(AlertSettings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings)


def alert_settings() -> AlertSettings:
    """The alert settings of this process. If the settings file can't be read, only the environment is used."""
    for settings in (AlertSettings, _OfEnvironment):
        with suppress(WrongSettings, ValueError):
            return read(settings, {"": AlertSettings, "alerts": AlertLimits})
    return AlertSettings.model_construct()
