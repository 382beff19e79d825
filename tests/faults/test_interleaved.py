"""Ingests whose steps come in any order, and that may die at any step, leave each review with its own attachments."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta import publish, snapshot
from otzyv.tasks.lake.records import upsert as module
from otzyv.tasks.lake.records.gone import Seen
from otzyv.tasks.lake.records.upsert import upsert
from tests.faults.counts import detail, turns

FIRST = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ATTACHED = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))
WAITS = 60.0
Written = tuple[str, int, int, str, int]
"""review_id, day of March, minute of the edit, text, how many files."""
Rows = dict[str, tuple[str, int, tuple[str, ...]]]
"""review_id -> record, day, content of each attached file."""


@dataclass(frozen=True)
class Ingest:
    records: tuple[Written, ...]
    snapshot: bool = False


class Died(BaseException):
    """An ingest is killed."""


def digest(record: Written) -> str:
    return "-".join(map(str, record))


def as_rows(records: Sequence[Written]) -> Rows:
    return {
        record[0]: (digest(record), record[1], tuple(f"{digest(record)}.{n}" for n in range(record[4])))
        for record in records
    }


def bring(lake: Lake, given: Ingest) -> None:
    reviews, attached = [], []
    for row, record in enumerate(given.records):
        review_id, day, edited, text, files = record
        created = FIRST.replace(day=day)
        common = {"review_id": review_id, "source_sha256": digest(record), "day": created.date()}
        about = {"text": text, "created_at": created, "updated_at": FIRST + dt.timedelta(minutes=edited)}
        reviews.append(
            {**dict.fromkeys(REVIEWS.names), **common, **about, "attachments": files, "source_file": "made-up.jsonl"}
        )
        for n in range(files):
            content = {"content_sha256": f"{digest(record)}.{n}", "bytes": 1, "media_type": "image/png", "uri": f"{n}"}
            attached.append({**common, **content, "position": n, "kind": "image", "status": "ok", "record": row})
    file = frozenset({"made-up.jsonl"})
    upsert(
        lake.storage,
        pa.Table.from_pylist(reviews, REVIEWS.arrow),
        pa.Table.from_pylist(attached, ATTACHED),
        seen=Seen(read=file, there=file, allowed=True) if given.snapshot else None,
        allow_empty=True,
    )


def held(lake: Lake) -> Rows:
    """What the lake has; the attachments are those of the reviews."""
    files: dict[str, list[tuple[int, str, str, int]]] = {}
    for row in lake.read(ATTACHMENTS).to_pylist():
        told = (row["position"], row["content_sha256"], row["source_sha256"], row["day"].day)
        files.setdefault(row["review_id"], []).append(told)
    found: Rows = {}
    for row in lake.read(REVIEWS).to_pylist():
        mine = sorted(files.pop(row["review_id"], []))
        assert row["review_id"] not in found
        assert [n for n, *_ in mine] == list(range(row["attachments"])), "as many as the review says"
        assert {(record, day) for *_, record, day in mine} <= {(row["source_sha256"], row["day"].day)}
        found[row["review_id"]] = (row["source_sha256"], row["day"].day, tuple(content for _, content, *_ in mine))
    assert files == {}, "attachments of no review"
    return found


@dataclass
class Turns:
    """Lets one thread at a time go on from one step to its next, in the order that ``choose`` gives."""

    choose: Callable[[int], int]
    go: dict[str, threading.Semaphore] = field(default_factory=dict)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    doomed: set[str] = field(default_factory=set)
    """Of those that are to die: at their next step."""

    def step(self) -> None:
        """Called in a thread before each of its steps."""
        name = threading.current_thread().name
        if name in self.go:
            self.came.release()
            assert self.go[name].acquire(timeout=WAITS)
            if name in self.doomed:
                raise Died

    def run(self, jobs: Sequence[Callable[[], None]], die_at: tuple[int, int] | None = None) -> list[int]:
        """Run all to their ends; the numbers of those killed. ``die_at``: which one is, at which of its steps."""
        ended: dict[str, BaseException | None] = {}
        taken = dict.fromkeys(range(len(jobs)), 0)

        def work(job: Callable[[], None]) -> None:
            name = threading.current_thread().name
            fault: BaseException | None = None
            try:
                self.step()
                job()
            except BaseException as error:
                fault = error
            ended[name] = fault
            self.came.release()

        threads = [threading.Thread(target=work, args=(job,), name=f"ingest {n}") for n, job in enumerate(jobs)]
        self.go |= {thread.name: threading.Semaphore(0) for thread in threads}
        for thread in threads:
            thread.start()
            assert self.came.acquire(timeout=WAITS)
        while left := [n for n, thread in enumerate(threads) if thread.name not in ended]:
            number = left[self.choose(len(left))]
            taken[number] += 1
            if die_at == (number, taken[number]):
                self.doomed.add(threads[number].name)
            self.go[threads[number].name].release()
            assert self.came.acquire(timeout=WAITS)
        for thread in threads:
            thread.join()
        for fault in ended.values():
            if fault is not None and not isinstance(fault, Died):
                raise fault
        return [n for n, thread in enumerate(threads) if isinstance(ended[thread.name], Died)]


@pytest.fixture
def at_each_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Turns], None]:
    """Has an ingest wait for its turn before it opens or commits one of the tables."""
    opened, commit = snapshot.open_snapshot, publish.commit

    def begin(waiting: Turns) -> None:
        def then(call: Callable[..., Any]) -> Callable[..., Any]:
            def waited(*given: Any, **named: Any) -> Any:
                waiting.step()
                return call(*given, **named)

            return waited

        monkeypatch.setattr(module, "open_snapshot", then(opened))
        monkeypatch.setattr(module, "commit", then(commit))

    return begin


def started(uri: Path, before: Sequence[Ingest]) -> Lake:
    lake = Lake.create(uri)
    for given in before:
        bring(lake, given)
    return lake


def newest(before: Ingest, at_once: Sequence[Ingest], again: Sequence[Ingest] = ()) -> dict[str, list[Rows]]:
    """By review what may stand: its newest state; of those as new as each other the last that came.

    Of those that came at once any may be the last.
    """
    may: dict[str, list[Written]] = {}
    for came in ([before], at_once, again):
        together: dict[str, list[Written]] = {}
        for record in (record for given in came for record in given.records):
            together.setdefault(record[0], []).append(record)
        for review_id, states in together.items():
            last = max(record[2] for record in states)
            if review_id not in may or last >= may[review_id][0][2]:
                may[review_id] = [record for record in states if record[2] == last]
    return {review_id: [as_rows([record]) for record in states] for review_id, states in may.items()}


def stands(lake: Lake, may: dict[str, list[Rows]]) -> None:
    found = held(lake)
    assert found.keys() == may.keys()
    for review_id, states in may.items():
        assert {review_id: found[review_id]} in states


TWO = (
    Ingest((("a", 1, 1, "старое", 1), ("b", 1, 2, "новое", 2))),
    Ingest((("a", 2, 2, "новое", 2), ("b", 1, 1, "старое", 0))),
)
"""Each has a newer state of a review that the other has an older one of."""


STEPS = 6
"""Of an ingest that nobody comes between: it begins, opens both tables, commits both, and looks whether all stands."""


def in_turn(firsts: Iterator[bool], count: int) -> int:
    """The first one's turn or, as long as it has not ended, the other's."""
    return 0 if next(firsts) else count - 1


def test_two_ingests_in_every_order_of_their_steps(tmp_path: Path, at_each_step: Callable[[Turns], None]) -> None:
    before = Ingest((("a", 1, 0, "первое", 1), ("c", 2, 0, "другое", 1)))
    orders = list(combinations(range(2 * STEPS), STEPS))
    random.Random(41).shuffle(orders)
    for turn in turns("two ingests of the same reviews, in every order of their steps", 4, len(orders)):
        firsts = map({*orders[turn]}.__contains__, count())
        lake = started(tmp_path / str(turn), [before])
        waiting = Turns(partial(in_turn, firsts))
        at_each_step(waiting)
        waiting.run([partial(bring, lake, given) for given in TWO])
        stands(lake, newest(before, TWO))


def drawn(chance: random.Random, snapshot: bool) -> Ingest:
    ids = chance.sample("abc", chance.randint(1, 3))
    return Ingest(
        tuple(
            (name, chance.randint(1, 2), chance.randint(0, 3), chance.choice(("да", "нет")), chance.randint(0, 2))
            for name in ids
        ),
        snapshot,
    )


def test_ingests_that_die_at_any_step_and_are_run_again(tmp_path: Path, at_each_step: Callable[[Turns], None]) -> None:
    """Three at once, one of which dies in most turns: the newest states stand, each with its own files."""
    chance = random.Random(42)
    kills = 0
    for turn in turns("three ingests at once, one of which dies", 4, 1000):
        before, at_once = drawn(chance, False), [drawn(chance, False) for _ in range(3)]
        lake = started(tmp_path / str(turn), [before])
        waiting = Turns(lambda count: chance.randrange(count))
        at_each_step(waiting)
        jobs = [partial(bring, lake, given) for given in at_once]
        died = waiting.run(jobs, die_at=(chance.randrange(3), chance.randint(1, 8)))
        kills += len(died)
        detail(f"{kills} died")
        for number in died:
            bring(lake, at_once[number])
        stands(lake, newest(before, at_once, [at_once[number] for number in died]))


def test_snapshots_that_bring_former_states_back_at_once(tmp_path: Path, at_each_step: Callable[[Turns], None]) -> None:
    """A snapshot's own state counts even where it is the older one, and what it lacks goes."""
    chance = random.Random(43)
    for turn in turns("snapshots and ingests at once, step by step", 4, 1000):
        states = [drawn(chance, False) for _ in range(3)]
        at_once = [Ingest(chance.choice(states).records, chance.random() < 0.7) for _ in range(3)]
        lake = started(tmp_path / str(turn), [Ingest(chance.choice(states).records, snapshot=True)])
        waiting = Turns(lambda count: chance.randrange(count))
        at_each_step(waiting)
        waiting.run([partial(bring, lake, given) for given in at_once])
        brought = {row for given in states for row in as_rows(given.records).items()}
        assert {*held(lake).items()} <= brought
