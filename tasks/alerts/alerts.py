"""The single path of every alert: into the lake's book, the log and Prefect's events, and on to the receivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import islice
from typing import Any

from otzyv.schemas.errors import OtzyvError
from otzyv.tasks.alerts.book import Book, Unreadable
from otzyv.tasks.alerts.kinds import KINDS, Kind
from otzyv.tasks.alerts.receivers import Receiver, receivers
from otzyv.tasks.alerts.sending import NotSent, Told
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.alerts.state import Message, Observation, Rest, State, observe
from otzyv.tasks.pipeline.spans import spans

PATIENCE = 20.0
"""The longest time in seconds that sending may hold up its caller, whatever receivers do."""
CLAIM = 120.0
"""Seconds for which a process keeps the messages that it is sending. After that, another process may send them."""
WAITS = (60.0, 300.0, 900.0, 3600.0)
"""Seconds to wait after a receiver's first, second, third and each later failure."""
MOST_NAMED = 10
"""How many subjects a message lists one by one."""
GIVEN_UP = 24 * 3600.0
"""Seconds after which an undelivered message is dropped."""

Say = Callable[[str], None]
Emit = Callable[[str, str, str, Mapping[str, Any]], None]
"""Emits an event: its name, the lake, the subject and the payload."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of one lake. ``say`` writes a line to the log, ``emit`` emits a Prefect event; neither may raise."""

    lake: str
    settings: AlertSettings
    book: Book
    say: Say
    emit: Emit | None = None
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, lake: str, settings: AlertSettings, say: Say, emit: Emit | None = None) -> Alerts:
        return cls(lake, settings, Book(lake), say, emit)

    def observe(self, *observed: Observation, **marks: float) -> list[Message]:
        """Send alerts for what is new, still wrong or over, given what was just observed; returns the messages.

        ``marks``: times to note with it, as by ``mark``: a process that dies has done both, or neither.
        Of several processes that see the same one tells it. A receiver that does not take it is tried again later,
        by whoever calls this or ``send_left``, and holds this up for ``PATIENCE`` at most.
        """
        there, now = receivers(self.settings), self.clock()

        def apply(state: State) -> tuple[list[Message], Claimed]:
            told: list[Message] = []
            _mark(state, marks)
            for each in observed:
                told += observe(state, each, now, self.settings.repeats, [one.name for one in there])
            return told, _claimed(state, now) if told else ((), frozenset())

        try:
            messages, claimed = self.book.change(apply)
            for message in messages:
                self._tell(message)
            self._send(*claimed, there)
        except Exception as error:  # whatever is wrong with alerts, what they are about goes on
            why = str(error) if isinstance(error, OtzyvError) else type(error).__name__
            self.say(f"alerts: {why}: {', '.join(each.kind.name for each in observed)} may not be told")
            return []
        return messages

    def _tell(self, message: Message) -> None:
        self.say(line(message))
        if self.emit:
            for subject, what in zip(message.subjects, message.what, strict=True):
                self.emit(
                    event(message), self.lake, subject, {**data(message, self.lake), "subject": subject, "why": what}
                )

    def mark(self, **times: float) -> None:
        """Record times for other processes, such as that of the last good run. Only the latest of each is kept."""
        with suppress(Unreadable):  # a later run notes its own
            self.book.change(lambda state: _mark(state, times))

    def figures(self, counts: Mapping[str, float]) -> None:
        """Store the counts of a daily run for ``/metrics``."""

        def apply(state: State) -> None:
            state.figures = dict(counts)

        with suppress(Unreadable):
            self.book.change(apply)

    def send_left(self) -> None:
        """Retry messages that receivers have not taken, once their waiting time is over."""
        now = self.clock()
        if _claimed(self.book.state, now)[0]:
            self._send(*self.book.change(lambda state: _claimed(state, now)), receivers(self.settings))

    def _send(self, messages: Sequence[Message], awake: Collection[str], there: Sequence[Receiver]) -> None:
        """Send messages to the receivers that are not waiting after a failure (``awake``), and record the outcome."""
        if not messages:
            return
        asked = {
            one.name: [message for message in messages if one.name in message.left] if one.name in awake else []
            for one in there
        }
        sent, why = _sent(self.lake, asked, there)
        ids = {message.id for message in messages}
        known = {receiver.name for receiver in there}
        now = self.clock()

        def apply(state: State) -> list[Message]:
            for name in asked:
                if name in why:
                    failed = state.resting[name].failed if name in state.resting else 0
                    state.resting[name] = Rest(now + WAITS[min(failed, len(WAITS) - 1)], failed + 1)
                elif asked[name]:
                    state.resting.pop(name, None)
            given_up = []
            for message in [each for each in state.outbox if each.id in ids]:
                message.left = [name for name in message.left if name in known and (message.id, name) not in sent]
                message.claimed = 0.0
                if message.left and now - message.at > GIVEN_UP:
                    given_up.append(message)
                if not message.left or message in given_up:
                    state.outbox.remove(message)
            return given_up

        given_up = self.book.change(apply)
        for name, said in why.items():
            self.say(f"alerts: {name}: {said}; it is tried again")
        for message in given_up:
            self.say(f"alerts: {', '.join(message.left)}: given up after a day: {title(message, self.lake)}")


def _mark(state: State, times: Mapping[str, float]) -> None:
    state.marks.update({name: max(when, state.marks.get(name, when)) for name, when in times.items()})


Claimed = tuple[Sequence[Message], Collection[str]]


def _claimed(state: State, now: float) -> Claimed:
    """The messages that no process is sending, in order, and those of their receivers that may be tried now.

    From now on this process is at work on them.
    """
    waiting = {name for message in state.outbox for name in message.left}
    awake = frozenset(name for name in waiting if name not in state.resting or state.resting[name].until <= now)
    free = [message for message in state.outbox if message.claimed <= now and awake.intersection(message.left)]
    for message in free:
        message.claimed = now + CLAIM
    return free, awake


def _sent(
    lake: str, asked: Mapping[str, Sequence[Message]], there: Iterable[Receiver]
) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """The delivered pairs of message and receiver, and why each failing receiver refused its first message."""
    sent: set[tuple[str, str]] = set()

    def send(receiver: Receiver) -> None:
        for message in asked[receiver.name]:
            receiver.send(told(message, lake))
            sent.add((message.id, receiver.name))

    why = patiently({receiver.name: partial(send, receiver) for receiver in there if asked[receiver.name]})
    return set(sent), why


def patiently(work: Mapping[str, Callable[[], None]]) -> dict[str, str]:
    """Run all of the work in parallel, for at most ``PATIENCE`` seconds; returns why parts of it failed.

    ``work``: by name, what raises NotSent. What is slower goes on beside this process, and ends with it.
    """
    why: dict[str, str] = {}

    def done(name: str) -> None:
        try:
            work[name]()
        except NotSent as error:
            why[name] = str(error)

    working = {name: threading.Thread(target=done, args=(name,), daemon=True) for name in work}
    for thread in working.values():
        thread.start()
    until = time.monotonic() + PATIENCE
    for name, thread in working.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            why.setdefault(name, f"it has not answered within {PATIENCE:.0f} s")
    return dict(why)


def kind_of(message: Message) -> Kind:
    return KINDS[message.kind]


def event(message: Message) -> str:
    name = kind_of(message).event
    return f"{name}.over" if message.how == "over" else name


def named(subjects: Sequence[str]) -> str:
    """The subjects in a few words. Consecutive days are written as a range."""
    try:
        return spans(sorted(map(date.fromisoformat, subjects)))
    except ValueError:
        more = f" and {len(subjects) - MOST_NAMED} more" if len(subjects) > MOST_NAMED else ""
        return ", ".join(subjects[:MOST_NAMED]) + more


def headline(message: Message) -> str:
    if message.how == "over":
        return f"over: {message.kind}: {named(message.subjects)}: {kind_of(message).over}"
    return f"{'still ' if message.how == 'again' else ''}{message.kind}: {named(message.subjects)}"


def line(message: Message) -> str:
    """The message as a line of the log."""
    told = f": {'; '.join(dict.fromkeys(message.what[:MOST_NAMED]))}" if message.how != "over" else ""
    return f"alert: {headline(message)}{told}"


def title(message: Message, lake: str) -> str:
    return f"otzyv {lake.rstrip('/').rpartition('/')[2]}: {headline(message)}"


def text(message: Message, lake: str) -> str:
    """The message's text, for receivers that people read."""
    since = f"{datetime.fromtimestamp(message.since, UTC):%Y-%m-%d %H:%M} UTC"
    lines = [f"Lake: {lake}", f"Since: {since}"]
    if message.how != "over":
        why = zip(message.subjects, message.what, strict=True)
        lines += [f"{subject}: {what}" for subject, what in islice(why, MOST_NAMED)]
        if len(message.subjects) > MOST_NAMED:
            lines.append(f"and {len(message.subjects) - MOST_NAMED} more")
        lines += [f"What to do: {kind_of(message).do}.", f"More: {kind_of(message).anchor}"]
    return "\n".join(lines)


def data(message: Message, lake: str) -> dict[str, Any]:
    """The message as JSON, for programs. ``day`` is only there for a single day, as in former versions."""
    days = {"day": message.subjects[0]} if len(message.subjects) == 1 and event(message).startswith("otzyv.day") else {}
    return {
        "id": message.id,
        "event": event(message),
        **days,
        "lake": lake,
        "kind": message.kind,
        "state": {"raised": "raised", "again": "still", "over": "over"}[message.how],
        "subjects": message.subjects,
        "what": message.what,
        "do": "" if message.how == "over" else kind_of(message).do,
        "since": _utc(message.since),
        "at": _utc(message.at),
    }


def told(message: Message, lake: str) -> Told:
    return Told(message.id, title(message, lake), text(message, lake), data(message, lake))


def _utc(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
