"""A process that does the work of ``days`` in children which it kills, starves or holds up as it is asked.

Imports take seconds, so they are done once; each job then runs in a fork. The parent never uses deltalake, whose
threads would not survive a fork. ``python -m tests.faults.victim`` reads one JSON list of jobs a line and answers with
one of their ends.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STEPS = {
    "a table is made": ("after", "otzyv.tasks.lake.delta.publish", "create_table"),
    "reviews are written": ("before", "otzyv.tasks.lake.records.upsert", "commit"),
    "reviews are committed": ("after", "otzyv.tasks.lake.records.upsert", "commit"),
    "a chunk is staged": ("after", "otzyv.tasks.lake.features.row_cache", "RowCache.add"),
    "a file is half written": ("after", "otzyv.tasks.lake.delta.publish", "FileWriter.write"),
    "a file is written": ("after", "otzyv.tasks.lake.delta.publish", "FileWriter.close"),
    "a day is checked": ("before", "otzyv.tasks.lake.delta.day", "commit_days"),
    "a commit is to be made": ("before", "otzyv.tasks.lake.delta.publish", "write_entry"),
    "a commit is live": ("after", "otzyv.tasks.lake.delta.publish", "write_entry"),
    "a commit is on disk": ("before", "otzyv.tasks.lake.delta.publish", "committed"),
    "staged chunks are removed": ("after", "otzyv.tasks.lake.features.row_cache", "RowCache.clear"),
    "a release is decided": ("before", "otzyv.tasks.lake.releases", "commit_rows"),
    "a release is live": ("after", "otzyv.tasks.lake.releases", "commit_rows"),
}
"""The named steps of publishing, and where each is in the code."""

LONGEST = 120.0
"""Seconds after which a job that hangs is killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """``work``: a function of ``tests.faults.days``, called with the lake's address and ``number``."""

    work: str
    uri: str
    number: int
    die_at: str | None = None
    """A named step, at its ``nth`` time."""
    nth: int = 1
    die_after: float | None = None
    """Seconds."""
    largest_file: int | None = None
    """Bytes: beyond them writing fails, as on a full disk."""
    wait_for: tuple[str, int] | None = None
    """A folder and a number: before its first commit the job puts a file there and waits for so many files."""


@dataclass(frozen=True, slots=True)
class End:
    """``killed``: by a signal. ``states``: how each table's run ended; ``error``: what was raised instead."""

    killed: bool
    states: tuple[str, ...] = ()
    error: str | None = None


class Victims:
    """The process, from the side that asks. ``with Victims() as victims: victims.run(Job(...))``."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.faults.victim"]
        home = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def run(self, *jobs: Job) -> list[End]:
        """Run jobs at the same time, and wait for the end of each."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        ends = json.loads(self._process.stdout.readline())
        return [End(end["killed"], tuple(end["states"]), end["error"]) for end in ends]


def at(step: str, act: Callable[[], None], nth: int = 1) -> None:
    """Call ``act`` when the named step is reached the nth time."""
    when, module, path = STEPS[step]
    *outer, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in outer:
        owner = getattr(owner, part)
    real, left = getattr(owner, name), nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            act()

    def wrapped(*given: Any, **named: Any) -> Any:
        if when == "before":
            reached()
        result = real(*given, **named)
        if when == "after":
            reached()
        return result

    setattr(owner, name, wrapped)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _meet(folder: Path, number: int) -> None:
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < number:
        time.sleep(0.001)


def _work(job: Job) -> dict[str, Any]:
    from tests.faults import days

    if job.die_at:
        at(job.die_at, _die, job.nth)
    if job.wait_for:
        folder, number = job.wait_for
        at("a commit is to be made", lambda: _meet(Path(folder), number))
    # The alarm is not handled, so it ends the process as abruptly as signal 9.
    signal.setitimer(signal.ITIMER_REAL, job.die_after if job.die_after is not None else LONGEST)
    faulthandler.dump_traceback_later(LONGEST - 1)  # where a job hangs
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    try:
        ran = getattr(days, job.work)(job.uri, job.number)
    except Exception as error:
        return {"states": [], "error": f"{type(error).__name__}: {error}"}
    runs = ran if isinstance(ran, list) else [ran]
    return {"states": [run.state for run in runs], "error": None}


def _start(job: Job) -> tuple[int, int]:
    """Process id, and where its answer is read."""
    answer, mine = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        os.write(mine, json.dumps(_work(job)).encode())
        os._exit(0)
    os.close(mine)
    return pid, answer


def _end(pid: int, answer: int) -> dict[str, Any]:
    _, status = os.waitpid(pid, 0)
    with os.fdopen(answer, "rb") as stream:
        said = stream.read()
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGALRM)
    if not said:
        said = json.dumps({"states": [], "error": None if killed else f"ended with status {status}"}).encode()
    return {"killed": killed, **json.loads(said)}


def _job(told: dict[str, Any]) -> Job:
    known = {field.name: told[field.name] for field in fields(Job)}
    return Job(**{**known, "wait_for": tuple(known["wait_for"]) if known["wait_for"] else None})


def main(lines: Iterable[str]) -> None:
    from otzyv.schemas.checks import check
    from otzyv.schemas.sample import sample
    from tests.faults.days import TOY

    check(TOY, sample(TOY, 3, 1).to_batches(), expected=None)  # so that no child loads what checks need
    for line in lines:
        started = [_start(_job(told)) for told in json.loads(line)]
        print(json.dumps([_end(*child) for child in started]), flush=True)


if __name__ == "__main__":
    main(sys.stdin)
    os._exit(0)
