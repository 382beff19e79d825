"""Where a lake keeps what was told: the same for all processes that see its trouble, and after a restart.

Each change is a file of its own with the next number, made only where there is none: of two processes that change it at
once one wins, and the other looks again. That holds in a folder and on S3 alike.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from otzyv.schemas.errors import EnvironmentFault, OtzyvError
from otzyv.tasks.alerts.state import State
from otzyv.tasks.lake.delta.storage import Storage

FOLDER = "_alerts"
KEPT = 50
"""Former states that stay: one that has read a state and writes the next number so much later would win wrongly."""
TRIES = 50

T = TypeVar("T")


class Unreadable(EnvironmentFault):
    """The folder of a lake's alerts can't be listed."""


class Book:
    """The state of a lake's alerts. One that can't be written, as on a full disk, lasts as long as this object."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._unsaved: tuple[int, bytes] | None = None
        self._known: tuple[int, bytes] | None = None
        """The newest that was read or written here."""
        self._listed = False
        """Whether the folder could be listed the last time."""

    @property
    def state(self) -> State:
        """An empty one where the lake can't be read now, and was not before."""
        try:
            return self._newest()[2]
        except Unreadable:
            return State()

    def change(self, apply: Callable[[State], T]) -> T:
        """Change the state; what ``apply`` gives for the state that was changed. It may be called several times.

        Raises Unreadable where nobody can tell what the state is: an empty one would be told from the beginning.
        """
        for _ in range(TRIES):
            number, known, state = self._newest()
            result = apply(state)
            data = state.dump()
            if data == known and self._unsaved is None:
                return result
            if not self._listed:
                break
            try:
                if self._write(number + 1, data):
                    self._unsaved, self._known = None, (number + 1, data)
                    return result
            except (OSError, OtzyvError):
                break
        self._unsaved = (number, data)
        return result

    def _newest(self) -> tuple[int, bytes, State]:
        """The number of the newest state, its bytes and itself; an empty one where there is none, or none is whole.

        Where the folder can't be listed now, it is the one that was known last. Raises Unreadable where none is known.
        """
        try:
            names = (path.rpartition("/")[2].removesuffix(".json") for path in Storage(self._uri).files(FOLDER))
            numbers = sorted((int(name) for name in names if name.isdecimal()), reverse=True)
            self._listed = True
        except (OSError, OtzyvError) as error:
            self._listed = False
            if (known := self._unsaved or self._known) is None:
                raise Unreadable("what was told of this lake can't be read now; it is tried again") from error
            return *known, State.load(known[1])
        newest = numbers[0] if numbers else 0
        if self._unsaved and self._unsaved[0] >= newest:
            return newest, self._unsaved[1], State.load(self._unsaved[1])
        for number in numbers:
            with suppress(OSError, ValueError, OtzyvError):
                data = Storage(self._uri).read(_path(number))
                state = State.load(data)
                self._known = newest, data
                return newest, data, state
        return newest, b"", State()

    def _write(self, number: int, data: bytes) -> bool:
        """Raises OSError or an OtzyvError. A lake that is not there, as while its disk is not mounted, is not made."""
        storage = Storage(self._uri)
        if not storage.remote and not storage.root.is_dir():
            raise FileNotFoundError(self._uri)
        if not storage.write_new(_path(number), data):
            return False
        with suppress(OSError, OtzyvError):
            storage.delete(_path(number - KEPT))
        return True


def _path(number: int) -> str:
    return f"{FOLDER}/{number:012d}.json"
