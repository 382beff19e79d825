"""What text files have in common: they are told from other formats by how they begin, and hashed in bounded pieces."""

from __future__ import annotations

import codecs
import hashlib
from typing import BinaryIO

from tasks.sources.record import RAW_BYTES, SourceError

PIECE = 2**20
"""How many bytes are read at once where a whole record might be too large to hold."""

_OTHER_FORMATS = (
    (b"\x1f\x8b", "is gzip; only JSONL may be, with a name that ends in .jsonl.gz"),
    (b"PK\x03\x04", "is a zip archive (an Excel file is one too); unpack it, or save it as CSV"),
    (b"PAR1", "is Parquet; let its name end in .parquet"),
    (b"\x28\xb5\x2f\xfd", "is zstd; unpack it"),
    (b"BZh", "is bzip2; unpack it"),
    (b"\xfd7zXZ\x00", "is xz; unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel file; save it as CSV"),
    (b"%PDF-", "is a PDF, not a table of reviews"),
    (codecs.BOM_UTF16_LE, "is UTF-16; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "is UTF-16; save it as UTF-8"),
    (b"{\x00", "is UTF-16; save it as UTF-8"),
)
_NO_TEXT = bytes({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1b"})


def begin(stream: BinaryIO, name: str) -> int:
    """Look at the first bytes of a text file and go to its first record: after a UTF-8 byte order mark, if any.

    ``stream`` must be seekable. Returns the offset of the first record. Raises SourceError where the bytes are another
    format's signature or, unless they begin as a JSON object does, more than 5 % of the first 4 KiB (and more than
    seven) are control characters: text has next to none, binary data some 11 %. Less junk than that is refused records.
    """
    head = stream.read(4096)
    for signature, what in _OTHER_FORMATS:
        if head.startswith(signature):
            raise SourceError(f"{name} {what}")
    strange = len(head) - len(head.translate(None, _NO_TEXT))
    if strange > max(len(head) / 20, 7) and not head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        raise SourceError(f"{name} is binary data; it must be UTF-8 text")
    first = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    stream.seek(first)
    return first


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
