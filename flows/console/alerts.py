"""What ``otzyv alerts`` shows and tries."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from functools import partial

import click
from rich import box
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen
from otzyv.schemas.errors import EnvironmentFault
from otzyv.tasks.alerts.alerts import patiently
from otzyv.tasks.alerts.book import Book
from otzyv.tasks.alerts.kinds import KINDS, TEST
from otzyv.tasks.alerts.receivers import Receiver, receivers
from otzyv.tasks.alerts.sending import Told
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.alerts.webhook import reach
from otzyv.tasks.extractors.settings import WrongSettings
from otzyv.tasks.lake import Lake

PING = "ping"
NOT_ASKED = "its host can be reached; it is not asked, which would count as a good run"


class NotTaken(EnvironmentFault):
    """A receiver has not taken a message."""


def show(lake: str, *, as_json: bool) -> None:
    """What is wrong of a lake, by kind. Raises an OtzyvError where there is no lake."""
    state = Book(Lake(lake).uri).state
    rows = [
        {
            "kind": name,
            "subject": subject,
            "what": each.what,
            "since": _utc(each.since),
            "told": each.told,
            "do": KINDS[name].do if name in KINDS else "see what the otzyv that told of it says",
        }
        for name, of_kind in sorted(state.open.items())
        for subject, each in sorted(of_kind.items())
    ]
    waiting = [{"receiver": name, "id": each.id, "kind": each.kind} for each in state.outbox for name in each.left]
    if as_json:
        click.echo(json.dumps({"open": rows, "waiting": waiting}, ensure_ascii=False))
        return
    if rows:
        grid = Grid("kind", "about", "what", "since", "told", "what to do", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in rows:
            grid.add_row(*(str(row[name]) for name in ("kind", "subject", "what", "since", "told", "do")))
        screen().print(grid)
    else:
        click.echo("nothing is wrong, as far as runs and otzyv serve have seen")
    for each in waiting:
        click.echo(f"{each['receiver']} has not taken a message of the kind {each['kind']} yet: it is tried again")


def try_receivers(settings: AlertSettings, *, as_json: bool) -> None:
    """Raises WrongSettings where there is none or one can't be, and NotTaken where one does not take its message."""
    there = list(receivers(settings))
    if settings.ping:
        address = settings.ping.get_secret_value()
        there.append(Receiver(PING, lambda _: reach(address)))
    if not there:
        raise WrongSettings("no receiver is set: set webhook, receivers or ping, as docs/operating.md says")
    now = _utc(datetime.now(UTC).timestamp())
    data = {"id": uuid.uuid4().hex, "event": TEST.event, "kind": TEST.name, "state": "raised", "at": now}
    told = Told(data["id"], "otzyv: test: alerts arrive here", f"At: {now}\nWhat to do: {TEST.do}.", data)

    wrong = patiently({each.name: partial(each.send, told) for each in there})
    failed = {each.name: wrong.get(each.name) for each in there}
    if as_json:
        taken = {name: None if name == PING and why is None else why is None for name, why in failed.items()}
        rows = [{"receiver": name, "taken": taken[name], "why": why} for name, why in failed.items()]
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for name, why in failed.items():
            click.echo(f"{name}: {why or (NOT_ASKED if name == PING else 'taken')}")
        if settings.webhook and not settings.webhook_key:
            click.echo("the webhook is not signed: set webhook_key")
    if wrong:
        raise NotTaken(f"not all have taken it: {', '.join(wrong)}")


def _utc(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC"
