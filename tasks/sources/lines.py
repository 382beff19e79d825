"""What text formats have in common: records hashed in bounded pieces."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from otzyv.tasks.sources.reasons import RAW_BYTES

PIECE = 2**20
"""How many bytes are read at once where a whole record might be too large to hold."""
BOM = b"\xef\xbb\xbf"
"""A byte order mark: joined files leave it within, at the start of a record."""


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
