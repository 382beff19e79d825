"""Opening a file under a folder so that no link, no name and no race leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal


class NotPlainError(Exception):
    """``reason``: ``a link`` on the way, something that is ``not a file``, or one that this user may not read."""

    def __init__(self, reason: Literal["a link", "not a file", "unreadable"]) -> None:
        super().__init__(reason)
        self.reason = reason


def open_beneath(root: Path, parts: Sequence[str]) -> BinaryIO:
    """The regular file ``root/part/part/…``, opened for reading, unbuffered.

    Every part is opened relative to the folder opened before it, never following a link, so that what is swapped
    meanwhile can't lead elsewhere. ``root`` itself is the caller's own choice and may be reached through links.
    Parts are single names, neither ``..`` nor with a slash.

    Raises FileNotFoundError (also for names no file can have), NotPlainError, or OSError for the machine's own faults.
    """
    if not parts:
        raise NotPlainError("not a file")
    folder = _folder(root, parts[:-1])
    try:
        # O_NONBLOCK: opening a pipe that was swapped in must not wait for its writer
        handle = _open(folder, _single(parts[-1]), stat.S_ISREG, os.O_NONBLOCK)
    finally:
        os.close(folder)
    return os.fdopen(handle, "rb", buffering=0)


def names_beneath(root: Path, parts: Sequence[str]) -> list[str]:
    """The names in the folder ``root/part/part/…``, whatever they are of, sorted; reached as ``open_beneath`` does."""
    folder = _folder(root, parts)
    try:
        return sorted(os.listdir(folder))
    finally:
        os.close(folder)


def _folder(root: Path, parts: Sequence[str]) -> int:
    """A handle of the folder, to be closed."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = _open(folder, _single(part), stat.S_ISDIR, os.O_DIRECTORY)
            os.close(folder)
            folder = inner
    except BaseException:
        os.close(folder)
        raise
    return folder


def _single(part: str) -> str:
    if part in ("", ".", "..") or "/" in part:
        raise ValueError("parts must be single names")
    return part


_NO_SUCH_NAME = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def _open(folder: int, name: str, wanted: Callable[[int], bool], flags: int) -> int:
    """The entry ``name`` of ``folder``, if ``wanted`` holds of its mode before and after it is opened."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode) and not wanted(mode):  # a/b where a is a file: there is no such b
            raise FileNotFoundError(errno.ENOENT, "no such file")
        if not wanted(mode):
            raise NotPlainError("a link" if stat.S_ISLNK(mode) else "not a file")
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:  # became a link between the two calls
            raise NotPlainError("a link") from None
        if error.errno in _NO_SUCH_NAME:
            raise FileNotFoundError(errno.ENOENT, "no such file") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotPlainError("unreadable") from None
        raise
    if not wanted(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotPlainError("not a file")
    return handle
