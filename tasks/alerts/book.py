"""The state of a lake's alerts, kept in the lake: all processes share it, and it survives restarts.

Each change writes a new file with the next number, and only if there is no such file yet. If two processes change the
state at once, one wins and the other retries. This works in a folder and on S3 alike.
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
"""How many former states are kept. Otherwise a slow process could reuse the number of a deleted state."""
TRIES = 50

T = TypeVar("T")


class Unreadable(EnvironmentFault):
    """The folder of a lake's alerts can't be listed."""


class Book:
    """The state of a lake's alerts. If it can't be written, as on a full disk, it is kept in this object."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._unsaved: tuple[int, bytes] | None = None
        self._known: tuple[int, bytes] | None = None
        """The number and bytes of the newest state that this object has read or written."""
        self._listed = False
        """Whether the last listing of the folder succeeded."""

    @property
    def state(self) -> State:
        """The current state. It is empty if the lake can't be read now and was not read before."""
        try:
            return self._newest()[2]
        except Unreadable:
            return State()

    def change(self, apply: Callable[[State], T]) -> T:
        """Change the state, and return what ``apply`` returned. ``apply`` may be called several times.

        Raises Unreadable if the state is not known: starting from an empty one would repeat every alert.
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
        """The number of the newest state, its bytes and the state itself; an empty one if no file is there or readable.

        If the folder can't be listed, the last known state is returned. Raises Unreadable if there is none.
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
        """Write a state, unless its number is taken; returns whether it did. A lake that is not there is not created.

        Raises OSError or an OtzyvError.
        """
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
