"""The state of alerts as plain values, and how observations change it. Nothing is sent here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from otzyv.tasks.alerts.kinds import Kind

DAY = 24 * 3600.0
MOST_RAISED = 3
"""How often a day an alert may be raised anew for a subject that comes and goes."""
MOST_TOLD = 500
"""How many past occurrences are remembered for each kind."""

How = Literal["raised", "again", "over"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong, described without words from reviews.

    ``occurrence`` identifies events that each need their own alert, such as the id of a run. ``cause``: occurrences in
    a row with the same cause count as one lasting problem, which is not raised anew each time.
    """

    what: str
    occurrence: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that is wrong of one kind, by subject. Every other subject is fine.

    ``scope``: the subjects that were checked, if not all were.
    """

    kind: Kind
    found: Mapping[str, Trouble]
    scope: Collection[str] | None = None


@dataclass(slots=True)
class Open:
    """An open problem. ``told``: how many alerts were sent for it; 0 if it comes and goes too often."""

    what: str
    occurrence: str
    since: float
    told: int = 0
    told_at: float = 0.0
    cause: str = ""


@dataclass(slots=True)
class Message:
    """One message of one kind, about all subjects that were observed together. Each receiver gets it once.

    Times are in seconds since 1970. ``left``: receivers that have not taken it yet. ``claimed``: until when a process
    is sending it.
    """

    id: str
    kind: str
    how: How
    subjects: list[str]
    what: list[str]
    since: float
    at: float
    left: list[str] = field(default_factory=list)
    claimed: float = 0.0


@dataclass(slots=True)
class Rest:
    """A failing receiver is not tried before ``until``. ``failed``: its failures in a row."""

    until: float
    failed: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a lasting problem is repeated: every ``seconds``, at most ``most`` times."""

    seconds: float
    most: int


@dataclass(slots=True)
class State:
    """All open problems by kind and subject, the occurrences that were told, and the messages not yet delivered.

    ``raised``: by kind and subject, when in the last day it was told anew. ``counts``: by kind, how often what was
    told. ``marks``: times that outlive a process, such as that of the last success. ``figures``: counts of the last
    daily run.
    """

    open: dict[str, dict[str, Open]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    raised: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    outbox: list[Message] = field(default_factory=list)
    resting: dict[str, Rest] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def dump(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def load(cls, data: bytes) -> State:
        """The state from its bytes. Raises ValueError if they are damaged."""
        try:
            told: dict[str, Any] = json.loads(data)
            return cls(
                open={
                    kind: {subject: Open(**each) for subject, each in of_kind.items()}
                    for kind, of_kind in told["open"].items()
                },
                told=told["told"],
                raised=told["raised"],
                outbox=[Message(**each) for each in told["outbox"]],
                resting={name: Rest(**each) for name, each in told["resting"].items()},
                counts=told["counts"],
                marks=told["marks"],
                figures=told["figures"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of alerts: {error}") from error


def observe(
    state: State, observed: Observation, now: float, repeats: Repeats, receivers: Sequence[str]
) -> list[Message]:
    """Apply an observation to the state; returns the new messages, which are also queued for the receivers.

    A problem is told once when it begins, again while it lasts (if its kind repeats or it has a cause), and once when
    it is over. Each occurrence is told by itself, unless it has the cause of the last one. One that comes and goes is
    raised anew at most ``MOST_RAISED`` times a day.
    """
    kind = observed.kind
    there = state.open.setdefault(kind.name, {})
    told: dict[How, dict[str, Open]] = {"raised": {}, "again": {}, "over": {}}
    for subject, seen in observed.found.items():
        known = there.get(subject)
        if known is None or known.occurrence != seen.occurrence:
            if _was_told(state, kind, subject, seen.occurrence):
                continue
            if known and known.told and known.cause and known.cause == seen.cause:
                known.occurrence = seen.occurrence
            else:
                known = Open(seen.what, seen.occurrence, known.since if known else now, cause=seen.cause)
            if kind.lasts:
                there[subject] = known
        known.what = seen.what
        if known.told == 0:
            if seen.occurrence or _may_be_raised(state, kind, subject, now):
                told["raised"][subject] = known
        elif (kind.repeats or known.cause) and known.told <= repeats.most and now - known.told_at >= repeats.seconds:
            told["again"][subject] = known
    for subject in [each for each in there if observed.scope is None or each in observed.scope]:
        if subject not in observed.found:
            gone = there.pop(subject)
            if gone.told:
                told["over"][subject] = gone
    messages = [_message(state, kind, how, some, now, receivers) for how, some in told.items() if some]
    for each in (*told["raised"].values(), *told["again"].values()):
        each.told, each.told_at = each.told + 1, now
    if receivers:
        state.outbox += messages
    return messages


def _was_told(state: State, kind: Kind, subject: str, occurrence: str) -> bool:
    """Whether this occurrence was told before. From now on it counts as told."""
    if not occurrence:
        return False
    known = state.told.setdefault(kind.name, [])
    mark = f"{subject} {occurrence}"
    if mark in known:
        return True
    known.append(mark)
    del known[:-MOST_TOLD]
    return False


def _may_be_raised(state: State, kind: Kind, subject: str, now: float) -> bool:
    of_kind = state.raised.setdefault(kind.name, {})
    for each in list(of_kind):
        of_kind[each] = [when for when in of_kind[each] if abs(now - when) < DAY]
        if not of_kind[each]:
            del of_kind[each]
    if len(of_kind.get(subject, ())) >= MOST_RAISED:
        return False
    of_kind.setdefault(subject, []).append(now)
    return True


def _message(
    state: State, kind: Kind, how: How, some: Mapping[str, Open], now: float, receivers: Sequence[str]
) -> Message:
    counts = state.counts.setdefault(kind.name, {})
    counts[how] = counts.get(how, 0) + len(some)
    return Message(
        id=uuid.uuid4().hex,
        kind=kind.name,
        how=how,
        subjects=sorted(some),
        what=[some[subject].what for subject in sorted(some)],
        since=min(each.since for each in some.values()),
        at=now,
        left=list(receivers),
    )
