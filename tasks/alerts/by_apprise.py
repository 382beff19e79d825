"""Receivers that apprise knows: Slack, Telegram, e-mail and more than a hundred services.

Read in apprise 1.13: ``Apprise.instantiate`` gives None for an address of no service, and logs what is wrong with it;
``Apprise.notify`` gives whether a service took a message, and logs why it did not. Only with a format does it write the
text as the service needs it, as in HTML for an e-mail; a service's own ``notify`` never does. All services are imported
when the first is asked for: some use what Python is about to drop, and are passed over where warnings are errors.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat
from apprise.common import PersistentStoreMode

from otzyv.tasks.alerts.sending import NotSent, Told, unlogged

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    Apprise.instantiate("json://localhost")

MOST_PORT = 65_535
_STATUS = re.compile(r"error=(\d{3})\b")


def known(address: str) -> NotifyBase | None:
    """The service of an address, or None if the address is not valid. No request is sent."""
    asset = AppriseAsset(
        app_id="otzyv",
        app_desc="otzyv",
        app_url="",
        image_url_mask="",  # else messages would have pictures from the web in them
        image_url_logo="",
        image_path_mask="",
        storage_mode=PersistentStoreMode.MEMORY,
        async_mode=False,
    )
    try:
        with unlogged():
            found = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    except Exception:  # a service's own reading of its address
        return None
    return found if isinstance(found, NotifyBase) and (found.port or 0) <= MOST_PORT else None


def service(address: str) -> str:
    """The name of an address's service. It reveals nothing of the address."""
    found = known(address)
    return str(found.service_name).lower() if found else "unknown"


def sender(address: str) -> Callable[[Told], None]:
    def send(told: Told) -> None:
        """Raises NotSent."""
        found = known(address)
        if found is None:
            raise NotSent("its address belongs to no service that apprise knows", again=False)
        with unlogged() as lines:
            try:
                service = Apprise(found, asset=found.asset)
                taken = service.notify(told.text, told.title, body_format=NotifyFormat.TEXT)
            except Exception as error:
                raise NotSent(f"it can't be reached ({type(error).__name__})") from None
        if not taken:
            status = next((one[1] for line in lines if (one := _STATUS.search(line))), None)
            raise NotSent(f"it answers {status}" if status else "it has not taken it, or can't be reached")

    return send
