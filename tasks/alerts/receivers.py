"""Who alerts are sent to, by the settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from otzyv.tasks.alerts.sending import Told
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.alerts.webhook import post


@dataclass(frozen=True, slots=True)
class Receiver:
    """``name`` identifies the receiver without revealing its address. ``send`` raises NotSent."""

    name: str
    send: Callable[[Told], None]


def receivers(settings: AlertSettings) -> tuple[Receiver, ...]:
    """The receivers in the settings. One with an invalid address refuses all messages."""
    found = []
    if settings.webhook:
        address = settings.webhook.get_secret_value()
        key = settings.webhook_key.get_secret_value() if settings.webhook_key else None
        found.append(Receiver(_name("webhook", address), lambda told: post(address, key, told)))
    if settings.receivers:
        from otzyv.tasks.alerts import by_apprise  # its library takes a third of a second to import

        for each in settings.receivers:
            other = each.get_secret_value()
            found.append(Receiver(_name(by_apprise.service(other), other), by_apprise.sender(other)))
    return tuple(found)


def _name(service: str, address: str) -> str:
    return f"{service} {hashlib.sha256(address.encode()).hexdigest()[:6]}"
