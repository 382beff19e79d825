"""Decoding in child processes: a file that crashes, hangs or swells a decoder costs a row its values, and nothing else.

Children are fresh interpreters (never forked: the parent holds threads and models) that import numpy and decoders only.
They are not started by multiprocessing, which would import the parent's ``__main__`` again. Arrays come back
in a memory file: it has no name, so nothing of it is left in /dev/shm however either side dies, and it is not bound by
the size of /dev/shm, 64 MB in many containers. Linux only.

A child answers after each content, so the content it died on is known at once. It is tried a second time as the first
one of a fresh child, since what came before it may have spoilt the old one: two tries for a culprit.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from otzyv.schemas.errors import EnvironmentFault
from otzyv.tasks.media.child import DTYPES, MEMORY_EXIT, ROOM
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.media.refused import Reason

Spec = ImageInput | AudioInput
Outcome = tuple[str, "np.ndarray[Any, Any] | None"]
"""``("ok", array)``, or another status of schemas.tables.STATUSES and None."""
Read = Callable[[], bytes]

MAX_IMAGE = 30 << 20
MAX_AUDIO = 50 << 20
DECODER = "otzyv.tasks.media.decode:decode"

_GROUP = 4  # contents in one message, at most
_GROUP_BYTES = 1 << 20  # and a message ends when its contents reach this many bytes
_AHEAD_BYTES = 64 << 20  # decoded arrays that may wait for the consumer
_START_SECONDS = 120.0
_BOOT = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from otzyv.tasks.media.child import serve; serve(**start)"
)
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL")  # no secrets where hostile bytes are read
_TUNING = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Keep freed memory for the next content: asking the kernel again for each costs a sixth of a child's CPU time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one content may cost: bytes of private memory, CPU seconds for an image and for up to ten minutes of audio,
    and wall seconds, which are generous since the machine may be busy."""

    memory: int = 1 << 30
    image_cpu: float = 5.0
    audio_cpu: float = 15.0
    wall: float = 120.0


class ChildFailed(EnvironmentFault):
    """A child can't be started or lacks a library: the environment is broken, not a content."""


class _Died(Exception):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class _Child:
    """One child process, its socket and its memory file."""

    def __init__(self, decoder: str, limits: Limits) -> None:
        self.limits = limits
        self.fresh = True
        """Whether it has yet to answer for a content: if it dies now, the content is to blame."""
        self._doomed = False
        with contextlib.ExitStack() as on_error:
            self._memory = os.memfd_create("otzyv-decode")
            on_error.callback(os.close, self._memory)
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            on_error.push(self._socket)
            start = {
                "path": [os.path.abspath(entry) for entry in sys.path], "parent": os.getpid(), "decoder": decoder,
                "control": theirs.fileno(), "memory": self._memory, "data_limit": limits.memory,
            }  # fmt: skip
            environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, "-P", "-c", _BOOT, json.dumps(start)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), self._memory),
                    env=environment | _TUNING,
                )  # fmt: skip
            on_error.pop_all()
        self.pid = self._process.pid

    def wait_ready(self) -> None:
        try:
            self._receive(_START_SECONDS)
        except _Died:
            raise ChildFailed(
                f"a decoding child ended before it was ready (exit status {self._process.returncode}); "
                f"see: {sys.executable} -c 'import otzyv.tasks.media.child'"
            ) from None

    def decode(self, spec: Spec, contents: Sequence[bytes]) -> Iterator[tuple[Outcome, Reason | None]]:
        """The outcomes of the contents in their order, or of the first of them where results fill the memory file.

        With each that was refused, why.
        """
        kind = type(spec).__name__
        os.ftruncate(self._memory, 0)
        os.pwritev(self._memory, contents, 0)
        order = {
            "spec": kind, "fields": dataclasses.asdict(spec), "sizes": [len(data) for data in contents],
            "cpu": self.limits.image_cpu if isinstance(spec, ImageInput) else self.limits.audio_cpu,
        }  # fmt: skip
        try:
            self._socket.send(json.dumps(order).encode())
        except OSError:
            self._died()
        for _ in contents:
            reply = self._receive(self.limits.wall)
            if "full" in reply:
                return
            self.fresh = False
            array = self._array(DTYPES[kind], reply) if reply["status"] == "ok" else None
            yield (reply["status"], array), reply.get("reason")

    def _array(self, dtype: str, reply: dict[str, Any]) -> np.ndarray[Any, Any]:
        if math.prod(reply["shape"]) * np.dtype(dtype).itemsize > ROOM:
            raise ChildFailed("a decoding child announced an array larger than its memory file")
        array = np.empty(reply["shape"], dtype)
        if array.nbytes:
            os.preadv(self._memory, [array.data.cast("B")], reply["offset"])
        return array

    def _receive(self, seconds: float) -> dict[str, Any]:
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(65_536)
        except TimeoutError:
            self.close()
            raise _Died("timeout") from None
        except OSError:  # it died with our message unread
            message = b""
        if not message:
            self._died()
        reply: dict[str, Any] = json.loads(message)
        if "error" in reply:
            self.close()
            raise ChildFailed(f"a decoding child failed with {reply['error']}")
        return reply

    def _died(self) -> NoReturn:
        code = self._process.wait()
        self.close()
        if code == -signal.SIGPROF:
            raise _Died("timeout")
        if code == MEMORY_EXIT or (code < 0 and -code not in _CRASHES):
            # Killed from outside, for memory as a rule. A transient status: the next run tries again.
            raise _Died("out_of_memory")
        raise _Died("undecodable")

    @property
    def alive(self) -> bool:
        return not self._doomed and self._process.poll() is None

    def kill(self) -> None:
        """May be called from any thread; the thread that works with the child sees it die."""
        self._doomed = True
        self._process.kill()

    def close(self) -> None:
        """Kill it and free what it held. For the thread that works with it. A second call does nothing."""
        if self._memory >= 0:
            self._process.kill()
            self._process.wait()
            self._socket.close()
            os.close(self._memory)
            self._memory = -1


@dataclass(frozen=True, slots=True)
class _Job:
    spec: Spec
    contents: tuple[tuple[int, Read], ...]
    done: Future[list[Outcome]]
    cancelled: threading.Event

    def check(self) -> None:
        if self.cancelled.is_set():
            raise ChildFailed("the decoding children were closed while in use")


class _Worker(threading.Thread):
    """A thread that owns one child: starts it when there is something to decode, and again when it has died.

    The thread lives as long as the pool, as it must: the kernel ends a child with the thread that started it.
    """

    def __init__(self, jobs: queue.SimpleQueue[_Job | None], decoder: str, limits: Limits) -> None:
        super().__init__(name="otzyv-decode", daemon=True)
        self.jobs, self.decoder, self.limits = jobs, decoder, limits
        self.lock = threading.Lock()  # a child or a job is never changed while another thread looks whether to kill
        self.child: _Child | None = None
        self.job: _Job | None = None

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                outcomes = self._work(job)
            except BaseException as error:  # a read that failed, a child that can't start: the consumer's to know
                job.done.set_exception(error)
            else:
                job.done.set_result(outcomes)
        if self.child:
            self.child.close()

    def abandon(self, cancelled: threading.Event) -> None:
        """Kill the child if it works for the consumer that has gone."""
        with self.lock:
            if self.child and self.job and self.job.cancelled is cancelled:
                self.child.kill()

    def _work(self, job: _Job) -> list[Outcome]:
        try:
            return self._outcomes(job)
        finally:
            with self.lock:
                self.job = None

    def _outcomes(self, job: _Job) -> list[Outcome]:
        limit = _limit(job.spec)
        outcomes: list[Outcome] = [("too_large", None)] * len(job.contents)
        left: list[tuple[int, bytes]] = []
        for place, (size, read) in enumerate(job.contents):
            job.check()
            if size <= limit and len(data := read()) <= limit:
                left.append((place, data))
        while left:
            child = self._ready(job)
            answered = 0
            try:
                for outcome, _ in child.decode(job.spec, [data for _, data in left]):
                    outcomes[left[answered][0]] = outcome
                    answered += 1
            except _Died as death:
                if child.fresh or death.status == "timeout":
                    outcomes[left[answered][0]] = (death.status, None)
                    answered += 1
            del left[:answered]
        job.check()
        return outcomes

    def _ready(self, job: _Job) -> _Child:
        """A living child at work for this job."""
        with self.lock:
            job.check()
            self.job = job
            if self.child and self.child.alive:
                return self.child
            if self.child:
                self.child.close()
            self.child = _Child(self.decoder, self.limits)
        self.child.wait_ready()
        return self.child


class Pool:
    """Decoding children, started when first needed and kept warm. Threads may share it."""

    def __init__(self, workers: int, *, decoder: str = DECODER, limits: Limits | None = None) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._workers = [_Worker(self._jobs, decoder, limits or Limits()) for _ in range(workers)]
        self._consumers: set[threading.Event] = set()
        for worker in self._workers:
            worker.start()

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that are alive."""
        return [child.pid for worker in self._workers if (child := worker.child) and child.alive]

    def decode(
        self, spec: Spec, contents: Iterable[tuple[int, Read]], *, ahead: int = 256
    ) -> Generator[Outcome, None, None]:
        """The outcome of each content, in the order given: ``("ok", array)``, or another status and None.

        ``contents`` are (size in bytes, function that reads them). They are taken as needed: at most ``ahead`` of them
        and about 64 MiB of arrays run before the consumer. They are read in the pool's threads; what a read raises is
        raised here. A content above 30 MB (image) or 50 MB (audio) is ``too_large`` without being decoded. ChildFailed
        where the environment is broken. Closing the generator ends its work at once.
        """
        cancelled = threading.Event()
        self._consumers.add(cancelled)
        waiting: deque[Future[list[Outcome]]] = deque()
        groups = _groups(contents)
        floor = 2 * _GROUP * len(self._workers)
        room = floor  # until the first array is seen, as few as keep the children busy
        pending = largest = 0
        try:
            while True:
                while pending < room and (group := next(groups, None)):
                    job = _Job(spec, group, Future(), cancelled)
                    waiting.append(job.done)
                    self._jobs.put(job)
                    pending += len(group)
                if not waiting:
                    return
                for status, array in waiting.popleft().result():
                    pending -= 1
                    if array is not None:
                        largest = max(largest, array.nbytes, 1)
                        room = max(floor, min(ahead, _AHEAD_BYTES // largest))
                    yield status, array
        finally:
            cancelled.set()
            self._consumers.discard(cancelled)
            for worker in self._workers:
                worker.abandon(cancelled)

    def close(self) -> None:
        """End the children. Whoever still decodes gets ChildFailed."""
        for cancelled in tuple(self._consumers):
            cancelled.set()
            for worker in self._workers:
                worker.abandon(cancelled)
        for _ in self._workers:
            self._jobs.put(None)
        for worker in self._workers:
            worker.join()


def refusal(spec: Spec, data: bytes, *, limits: Limits | None = None) -> tuple[str, Reason | None]:
    """The status of one content, decoded in a child of its own, and why it was refused where the decoder told."""
    if len(data) > _limit(spec):
        return "too_large", None
    child = _Child(DECODER, limits or Limits())
    try:
        child.wait_ready()
        (((status, _), reason),) = child.decode(spec, [data])
    except _Died as death:
        return death.status, None
    finally:
        child.close()
    return status, reason


def _limit(spec: Spec) -> int:
    return MAX_IMAGE if isinstance(spec, ImageInput) else MAX_AUDIO


def _groups(contents: Iterable[tuple[int, Read]]) -> Iterator[tuple[tuple[int, Read], ...]]:
    """Several contents to a message, fewer where they are large."""
    group: list[tuple[int, Read]] = []
    total = 0
    for size, read in contents:
        group.append((size, read))
        total += size
        if len(group) == _GROUP or total >= _GROUP_BYTES:
            yield tuple(group)
            group, total = [], 0
    if group:
        yield tuple(group)


_pools: dict[int, Pool] = {}
_pools_lock = threading.Lock()


def pool(workers: int | None = None) -> Pool:
    """This process's pool of so many children (as many as it has cores), made once and kept warm."""
    count = workers or len(os.sched_getaffinity(0))
    with _pools_lock:
        if count not in _pools:
            _pools[count] = Pool(count)
        return _pools[count]


def close() -> None:
    """End every child of this process. A later ``pool()`` starts again."""
    with _pools_lock:
        while _pools:
            _pools.popitem()[1].close()


def _forget() -> None:
    """A forked process has neither the threads nor the right to end the children."""
    global _pools_lock
    _pools_lock = threading.Lock()
    _pools.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
