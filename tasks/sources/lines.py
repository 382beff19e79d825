"""What text formats have in common: records hashed in bounded pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from otzyv.tasks.sources.reasons import RAW_BYTES, RECORD_BYTES

PIECE = 2**20
"""How many bytes are read at once where a whole record might be too large to hold."""
BOM = b"\xef\xbb\xbf"
"""A byte order mark: joined files leave it within, at the start of a record."""
Found = tuple[int, bytes, str | None]
"""Offset and bytes of a record; of one that is too long the first bytes, and the sha256 of them all."""


class HasLines(Protocol):
    """What lines can be read from: a stream."""

    def readline(self, size: int, /) -> bytes: ...


def lines(stream: HasLines, offset: int) -> Iterator[Found]:
    """Every line that is not blank. Only a line feed ends a line: U+2028 and the like are part of a record.

    ``offset`` is that of the first line in its file.
    """
    while line := stream.readline(RECORD_BYTES + 1):
        start, offset, digest = offset, offset + len(line), None
        if len(line) > RECORD_BYTES and not line.endswith(b"\n"):
            sha = hashlib.sha256(line)
            line = line[:RAW_BYTES]
            while piece := stream.readline(PIECE):
                offset += len(piece)
                sha.update(piece.removesuffix(b"\n"))
                if piece.endswith(b"\n"):
                    break
            digest = sha.hexdigest()
        line = line.removesuffix(b"\n")
        if digest or unmarked(line).strip(b" \t\r"):
            yield start, line, digest


def hold(stream: BinaryIO, length: int, limit: int) -> tuple[bytes, str | None]:
    """The next ``length`` bytes without the line feed at their end; where they are more than ``limit``, the first
    ``RAW_BYTES`` of them, and the sha256 of them all.
    """
    if length <= limit:
        return stream.read(length).removesuffix(b"\n"), None
    kept, sha = b"", hashlib.sha256()
    while length and (piece := stream.read(min(PIECE, length))):
        length -= len(piece)
        sha.update(piece if length else piece.removesuffix(b"\n"))
        kept = kept or piece[:RAW_BYTES]
    return kept, sha.hexdigest()


def unmarked(record: bytes) -> bytes:
    """``record`` without the byte order marks that it begins with."""
    while record.startswith(BOM):
        record = record[len(BOM) :]
    return record
