"""Attached files: found under the source's root, told by their content, and hashed as they are read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal

from tasks.sources.beneath import NotPlainError, open_beneath
from tasks.sources.listing import SourceFile
from tasks.sources.record import AttachmentRef

Status = Literal["ok", "missing", "too_large", "unsupported"]

LIMITS: Mapping[str, int] = MappingProxyType({"image": 20 * 10**6, "audio": 50 * 10**6})
"""Bytes that a file may have, by what its content is."""

_PIECE = 2**18
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Attachment:
    """What became of a reference. ``kind`` is what the record says or, where it says ``other``, what the content is.

    ``media_type`` is of the content, ``bytes_len`` the file's size; ``sha256`` and ``path`` are given if ``ok``.
    """

    kind: str
    status: Status
    media_type: str | None = None
    bytes_len: int | None = None
    sha256: str | None = None
    path: Path | None = None


def resolve(file: SourceFile, uri: str) -> Path | Literal["missing", "unsupported"]:
    """Where the file lies that ``file``'s record names ``uri``, if it is a regular file under the source's root.

    ``uri`` is a plain path with ``/``, relative to ``file``'s own folder, taken as it stands (``%2e`` is three
    characters). ``..`` may lead up within the root. ``unsupported``: an absolute path, one that leads out of the root
    or over a link, anything that is not a regular file, and every URL (RFC 3986: a path with a colon in its first
    part needs ``./`` before it).

    Another process may change what lies there; ``fetch`` opens and reads it safely.
    """
    try:
        parts = _parts(file, uri)
        open_beneath(file.root, parts).close()
    except NotPlainError:
        return "unsupported"
    except FileNotFoundError:
        return "missing"
    return file.root.joinpath(*parts)


def fetch(file: SourceFile, ref: AttachmentRef, into: BinaryIO | None = None) -> Attachment:
    """Read the file that ``ref`` names, once: the bytes hashed are those written to ``into``, if it is given.

    ``into`` holds the whole file only if the status is ``ok``. ``unsupported`` is also content of no known type, or of
    another kind than the record says; ``too_large`` what exceeds ``LIMITS``.
    """
    try:
        parts = _parts(file, ref.uri)
        stream = open_beneath(file.root, parts)
    except NotPlainError:
        return Attachment(ref.kind, "unsupported")
    except FileNotFoundError:
        return Attachment(ref.kind, "missing")
    with stream:
        piece, size, digest = stream.read(_PIECE), 0, hashlib.sha256()
        found = sniff(piece)
        if found is None:
            return Attachment(ref.kind, "unsupported", bytes_len=_size(stream))
        kind, media_type = found
        if ref.kind not in ("other", kind):
            return Attachment(ref.kind, "unsupported", media_type, _size(stream))
        while piece:
            size += len(piece)
            if size > LIMITS[kind]:
                return Attachment(kind, "too_large", media_type, _size(stream))
            digest.update(piece)
            if into is not None:
                into.write(piece)
            piece = stream.read(_PIECE)
    return Attachment(kind, "ok", media_type, size, digest.hexdigest(), file.root.joinpath(*parts))


def sniff(head: bytes) -> tuple[Literal["image", "audio"], str] | None:
    """Kind and media type by the first bytes of a file (64 are enough), None for every other type.

    Signatures as in the WHATWG MIME Sniffing Standard (section 6) and the containers' own specifications.
    """
    for start, at, mark, kind, media_type in _SIGNATURES:
        if head.startswith(start) and head[at:].startswith(mark):
            return kind, media_type
    if head[4:8] == b"ftyp" and head[8:12] in _MP4_BRANDS:
        return "audio", "audio/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return "audio", "audio/webm"
    return ("audio", "audio/mpeg") if _is_mp3_frame(head) else None


_SIGNATURES: tuple[tuple[bytes, int, bytes, Literal["image", "audio"], str], ...] = (
    (b"\xff\xd8\xff", 0, b"", "image", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image", "image/png"),
    (b"GIF87a", 0, b"", "image", "image/gif"),
    (b"GIF89a", 0, b"", "image", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio", "audio/wav"),
    (b"RF64", 8, b"WAVE", "audio", "audio/wav"),
    (b"fLaC", 0, b"", "audio", "audio/flac"),
    (b"OggS", 28, b"OpusHead", "audio", "audio/ogg"),
    (b"OggS", 28, b"\x01vorbis", "audio", "audio/ogg"),
    (b"OggS", 28, b"\x7fFLAC", "audio", "audio/ogg"),
    (b"ID3", 0, b"", "audio", "audio/mpeg"),
)
_MP4_BRANDS = frozenset(
    b"M4A |M4B |M4V |F4A |isom|iso2|iso3|iso4|iso5|iso6|iso7|iso8|iso9|mp41|mp42|avc1|dash|MSNV|qt  |"
    b"3gp4|3gp5|3gp6|3gp7|3gp8|3gp9|3g2a|3g2b|3g2c".split(b"|")
)
"""Brands of MPEG-4 with sound (mp4ra.org); HEIC and AVIF pictures share the container."""


def _is_mp3_frame(head: bytes) -> bool:
    """Whether an MPEG audio layer III frame header stands here (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and bitrate not in (0, 15) and rate != 3


def _parts(file: SourceFile, uri: str) -> list[str]:
    """The names that lead from the root to what ``uri`` means; raises NotPlainError."""
    if not uri or uri.startswith("/") or uri.endswith("/") or "\0" in uri or _SCHEME.match(uri):
        raise NotPlainError("not a relative path")
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise NotPlainError("not a name in Unicode") from None
    parts = file.name.split("/")[:-1]
    for part in uri.split("/"):
        if part == "..":
            if not parts:
                raise NotPlainError("leads out of the source")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, 2)
