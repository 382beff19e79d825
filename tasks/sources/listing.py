"""Which files a source is made of."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.sources.record import NothingThereError, SourceError

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
"""The endings that can be read, in upper or lower case."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source. ``name`` is its path below ``root``, with ``/``; ``ending`` is one of ``ENDINGS``.

    Nothing outside ``root`` is ever read for it.
    """

    root: Path
    name: str
    ending: str

    @property
    def path(self) -> Path:
        return self.root / self.name


def files(path: str | Path, day: date | None = None) -> list[SourceFile]:
    """The files of a source, in the order of their names: one file, or all of a folder and the folders in it.

    ``{day}`` in ``path`` stands for ``day`` as ``2024-05-01``, or for every day found there if ``day`` is None; what
    lies above it is then the root. Without it the root is the folder, or the folder that the one file lies in.

    In a folder, names that begin with ``.`` or ``_`` are passed over (as other readers of data folders do: they are
    leftovers and logs), and linked folders are not entered. Raises NothingThereError if there is nothing to read,
    and SourceError if a file to read is a link or no regular file.
    """
    if not str(path).strip():
        raise SourceError("a source is a file or a folder, and none is named")  # not the folder where one happens to be
    path = Path(path)
    at = next((i for i, part in enumerate(path.parts) if "{day}" in part), None)
    if at is None:
        root = path.parent if not path.is_dir() else path
        found = list(_below(root, path))
    elif day is not None:
        root = Path(*path.parts[:at])
        found = list(_below(root, Path(str(path).replace("{day}", day.isoformat()))))
    else:
        root = Path(*path.parts[:at])
        found = [file for one in _every_day(root, path.parts[at:]) for file in _below(root, one)]
        if not found:
            raise NothingThereError(f"{path}: no such path for any day; {{day}} stands for a date such as 2024-05-01")
    return sorted(found, key=lambda file: file.name)


def _below(root: Path, path: Path) -> Iterator[SourceFile]:
    """What there is to read at ``path``, which is ``root`` or lies below it."""
    if path.is_symlink():
        raise SourceError(f"{path} is a link; name the file or folder that it leads to")
    if not path.exists():
        raise NothingThereError(f"{path} is not there; a source is a file or a folder of files {_endings()}")
    if not path.is_dir():
        yield _file(root, path)
        return
    found = [_file(root, inner) for inner in _walk(path)]
    if not found:
        raise NothingThereError(f"{path} holds no file to read; a source's files end in {_endings()}")
    yield from found


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_symlink() and entry.is_dir():
                _log.warning("linked folder not entered: %s", entry.path)
            elif _ending(entry.name):
                yield Path(entry.path)


def _file(root: Path, path: Path) -> SourceFile:
    name = path.relative_to(root).as_posix()
    ending = _ending(name)
    if ending is None:
        raise SourceError(f"{path} can't be read; a source's files end in {_endings()}")
    if not stat.S_ISREG(path.lstat().st_mode):
        raise SourceError(f"{path} is a link or no regular file; put the file itself there")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{name!r} in {root}: the file's name is not UTF-8; rename it") from None
    return SourceFile(root, name, ending)


def _every_day(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The paths below ``root`` that ``parts`` describe, with one and the same date for every ``{day}``."""
    first = re.compile(re.escape(parts[0]).replace(re.escape("{day}"), r"(\d{4}-\d\d-\d\d)", 1), re.ASCII)
    if "{day}" in parts[0].replace("{day}", "", 1):
        raise SourceError(f"{parts[0]!r}: {{day}} stands at most once in each part of a path")
    if not root.is_dir():
        raise SourceError(f"{root} is not there or no folder")
    for entry in sorted(os.listdir(root)):
        match = first.fullmatch(entry)
        if match and _is_date(match[1]):
            path = Path(root, entry, *(part.replace("{day}", match[1]) for part in parts[1:]))
            if path.exists() or path.is_symlink():
                yield path


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _ending(name: str) -> str | None:
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), None)


def _endings() -> str:
    return ", ".join(ENDINGS)
