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
from tasks.sources.sniff import sniff

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
