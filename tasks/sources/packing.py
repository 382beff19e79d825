"""Files packed with gzip, bzip2 or Zstandard, of one part or of several, as one stream of what they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO, cast

import pyarrow as pa

from otzyv.tasks.sources.reasons import SourceError

MOST_RATIO = 500
FREE_BYTES = 2**28
"""What unpacks to more than ``FREE_BYTES`` and to ``MOST_RATIO`` times its packed bytes is refused: texts shrink to a
tenth, equal lines to a hundredth."""


class Unpacked(io.RawIOBase):
    """What ``packed`` (seekable, at its start) holds, packed as ``ending`` says.

    Reading raises SourceError where it is not packed so, is damaged, cut short or a bomb.
    """

    def __init__(self, packed: BinaryIO, ending: str, name: str) -> None:
        mark, self._kind, opened = _KINDS[ending]
        head = packed.read(len(mark))
        if head != mark:
            what = "is empty" if not head else f"is not {self._kind}"
            raise SourceError(f"{name} {what}; what is not packed has a name without {ending}")
        packed.seek(0)
        self._packed, self._name, self._done = packed, name, 0
        self._stream = opened(packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            piece = self._stream.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the machine's fault, not the file's
                raise
            raise SourceError(f"{self._name} is broken {self._kind} or cut short; pack or copy it again") from None
        self._done += len(piece)
        if self._done > max(FREE_BYTES, MOST_RATIO * self._packed.tell()):
            raise SourceError(
                f"{self._name} unpacks to more than {MOST_RATIO} times its size, as no reviews do; unpack it "
                "yourself if it is sound"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def _zstd(packed: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"))


_KINDS: Mapping[str, tuple[bytes, str, Callable[[BinaryIO], BinaryIO]]] = {
    ".gz": (b"\x1f\x8b", "gzip", lambda packed: cast(BinaryIO, gzip.GzipFile(fileobj=packed))),
    ".bz2": (b"BZh", "bzip2", lambda packed: cast(BinaryIO, bz2.BZ2File(packed))),
    ".zst": (b"\x28\xb5\x2f\xfd", "Zstandard", _zstd),
}
PACKED = tuple(MappingProxyType(_KINDS))
"""The endings of packed files."""
