"""Task: tell that a day has no reviews although its hour has come."""

from __future__ import annotations

from datetime import date

from prefect import get_run_logger, task
from prefect.events import emit_event
from pydantic import SecretStr

EVENT = "otzyv.day.missing"


@task(name="missing day", task_run_name="missing {day}")
def missing_day(lake: str, day: date, webhook: SecretStr | None, why: str) -> None:
    """Raise a Prefect event, on which automations can act, and POST the same as JSON to the webhook if there is one.

    ``why``: what is known of the source, for the log and the event.

    A webhook that does not answer fails nothing: the event stands. Its address may hold a secret and is not logged.
    """
    import httpx

    get_run_logger().warning("no reviews of %s: %s", day, why)
    emit_event(
        EVENT,
        resource={"prefect.resource.id": f"otzyv.day.{day}", "otzyv.lake": lake},
        payload={"day": str(day), "why": why},
    )
    if webhook is None:
        return
    try:
        httpx.post(
            webhook.get_secret_value(), json={"event": EVENT, "day": str(day), "lake": lake}, timeout=10
        ).raise_for_status()
    except httpx.HTTPError as error:
        get_run_logger().warning("the webhook for the missing day %s failed: %s", day, type(error).__name__)
