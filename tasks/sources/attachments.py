"""Attached files: found under the source's root, told by their content, and hashed as they are read."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal, Protocol, cast
from urllib.parse import unquote

from otzyv.schemas.tables import ATTACHMENT_REASONS
from otzyv.tasks.media.sniff import sniff
from otzyv.tasks.sources.beneath import NotPlainError, open_beneath
from otzyv.tasks.sources.listing import SourceFile
from otzyv.tasks.sources.names import Names, Parts, RefusedPath, casefolded, composed, parts_of, readings
from otzyv.tasks.sources.values import AttachmentRef

Status = Literal["ok", "missing", "too_large", "unsupported"]


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


LIMITS: Mapping[str, int] = MappingProxyType({"image": 30 * 10**6, "audio": 50 * 10**6})
"""Bytes that a file may have, by what its content is."""

SETTLED_NS = 3 * 10**9
"""Nanoseconds after which a file's times tell every later change: some file systems count two seconds."""
_PIECE = 2**18
_SCHEME = r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]+:"
_URL = re.compile(rf"{_SCHEME}[/\\]|\A\s*(?:{_SCHEME}|[/\\]{{2}})")
"""A URL wherever it stands, with slashes of any number and kind; at the begin also one without."""
_QUERY = re.compile(r"(?:[?#]|%3f|%23|[;&][\w.-]+=).*", re.IGNORECASE | re.DOTALL)
_QUERY_OF_PATH = re.compile(r"[?#&;][\w.-]+=.*", re.DOTALL)
"""What makes a path without a scheme a URL: cdn.example.ru/1.png?key=…; a file's name may hold a ? or a #."""
_USER = re.compile(rf"({_SCHEME}[/\\]*|\A\s*[/\\]{{2}}(?=[^/\\@]*:))[^/\\]*@")
_PASSWORD = re.compile(rf"({_SCHEME}[/\\]+[^/\\:\[\]]*):(?!\d*(?:[/\\]|\Z))[^/\\]*")
"""What stands where a port does and is none."""
_OPAQUE = re.compile(
    r"\A\s*(data:[\w.+-]*(?:/[\w.+-]*)?|(?:mailto|tel|sms|javascript|cid|magnet):).*", re.I | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What became of a reference. ``kind`` is what the record says or, where it says ``other``, what the content is.

    ``reason``: why its status is not ``ok`` (one of ``ATTACHMENT_REASONS``). ``media_type`` is of the content,
    ``bytes_len`` the file's size; ``sha256`` is given if the status is ``ok``, and then ``path``, where the file lies.
    """

    kind: str
    status: Status
    reason: str | None = None
    media_type: str | None = None
    bytes_len: int | None = None
    sha256: str | None = None
    path: Path | None = None
    stamp: str | None = None
    """``stamp`` of what was read."""


def fetch(
    file: SourceFile, ref: AttachmentRef, into: BinaryIO | None = None, *, names: Names | None = None
) -> Attachment:
    """Read the file that ``ref`` names, once: the bytes hashed are those written to ``into``, if it is given.

    ``ref.uri`` is a path relative to ``file``'s own folder. A file of just that name is taken; else one that the path
    means by Windows' or the web's way to write it (``names.readings``); else one whose name differs in how its letters
    are composed; else in upper and lower case alone. ``ambiguous``: two files are as near. Whatever the path, only
    regular files below the source's root are opened, and no link is followed.

    ``into`` holds the whole file only if the status is ``ok``. ``names``: kept from one call to the next, it spares
    listing a folder again. Raises OSError for the machine's own faults.
    """
    try:
        stream, parts = _open(file, ref.uri, names or Names())
    except RefusedPath as refused:
        return replace(without(ref.kind, refused.reason), stamp=refused.reason)
    with stream:
        as_it_was = _stamp(stream)
        found = replace(take(ref, stream, into), stamp=as_it_was)
        if found.status == "ok":
            return replace(found, path=file.root.joinpath(*parts))
        return replace(found, bytes_len=stream.seek(0, 2))


def stamp(file: SourceFile, uri: str, names: Names) -> str | None:
    """What tells the file that ``fetch`` would read from one that was changed since, or why it would read none.

    None where that can't be told, as it was changed a moment ago: it may change again and keep its times.
    """
    try:
        stream, _ = _open(file, uri, names)
    except RefusedPath as refused:
        return refused.reason
    with stream:
        return _stamp(stream)


def _stamp(stream: BinaryIO) -> str | None:
    told = os.fstat(stream.fileno())
    if time.time_ns() - max(told.st_mtime_ns, told.st_ctime_ns) < SETTLED_NS:
        return None
    return f"{told.st_ino} {told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}"


def take(ref: AttachmentRef, stream: Readable, into: BinaryIO | None = None) -> Attachment:
    """Read an attached file to its end, or as far as it is found to be none. Content alone decides what it is.

    Refused as of no known type, as of another kind than the record says, as empty, and as too large (``LIMITS``).
    """
    piece, size, digest = _head(stream), 0, hashlib.sha256()
    found = sniff(piece)
    if found is None:
        return without(ref.kind, "no known type" if piece else "empty file")
    kind, media_type = found
    if ref.kind not in ("other", kind):
        return without(ref.kind, "another kind", media_type)
    while piece:
        size += len(piece)
        if size > LIMITS[kind]:
            return without(kind, "too large", media_type)
        digest.update(piece)
        if into is not None:
            into.write(piece)
        piece = stream.read(_PIECE)
    return Attachment(kind, "ok", None, media_type, size, digest.hexdigest())


def _head(stream: Readable) -> bytes:
    """The first bytes, as many as are looked at: a host may hand them over few at a time."""
    head = bytearray()
    while len(head) < _PIECE and (piece := stream.read(_PIECE - len(head))):
        head += piece
    return bytes(head)


def without(kind: str, reason: str, media_type: str | None = None) -> Attachment:
    """An attachment whose bytes are not taken."""
    return Attachment(kind, cast(Status, ATTACHMENT_REASONS[reason]), reason, media_type)


def as_told(uri: str) -> str:
    """A reference as the lake keeps it: as the source writes it, but for what may be a key in a URL, or its contents.

    A URL loses its user, query and fragment, however many slashes it has and however it is quoted or encoded.
    """
    decoded = unquote(uri)
    found = uri if _URL.search(uri) else decoded if _URL.search(decoded) else None
    if found is None:
        return _QUERY_OF_PATH.sub("", uri)
    found = found.strip()
    if opaque := _OPAQUE.match(found):
        return opaque[1]
    return _PASSWORD.sub(r"\1", _QUERY.sub("", _USER.sub(r"\1", found)))


def _open(file: SourceFile, uri: str, names: Names) -> tuple[BinaryIO, Parts]:
    """The file that a path means, and the names that lead there. Raises RefusedPath."""
    folder = file.name.split("/")[:-1]
    meant: list[tuple[Parts, Parts]] = []
    refused = RefusedPath("not found")
    for path in readings(uri):
        try:
            meant.append(parts_of(folder, path))
        except RefusedPath as why:
            if path == uri:  # as it stands it says so itself; of another reading, others may still be meant
                raise
            refused = why
            continue
        with suppress(FileNotFoundError):
            parts = sum(meant[-1], ())
            return _opened(file.root, parts), parts
    for alike in (composed, casefolded):
        for given, written in meant:
            found = list(islice(names.alike(file.root, given, written, alike), 2))
            if len(found) > 1:
                raise RefusedPath("ambiguous")
            with suppress(FileNotFoundError):
                for parts in found:
                    return _opened(file.root, parts), parts
    raise refused


def _opened(root: Path, parts: Parts) -> BinaryIO:
    try:
        return open_beneath(root, parts)
    except NotPlainError as error:
        raise RefusedPath(error.reason) from None
