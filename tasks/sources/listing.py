"""Which files a source is made of."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from otzyv.tasks.sources import delta
from otzyv.tasks.sources.formats import BY_ENDING
from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.packing import PACKED
from otzyv.tasks.sources.reasons import NothingThereError, SourceError, UnreachableError

ENDINGS = tuple(BY_ENDING)
"""The endings that can be read, in upper or lower case."""

_OF_DATA = frozenset(
    (*(f".{part}" for ending in ENDINGS for part in ending.split(".")[1:]), ".xz", ".lzma", ".lz4", ".br", ".z", ".zip",
     ".7z", ".rar", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".xml", ".dbf", ".avro", ".orc", ".arrow", ".feather",
     ".sqlite", ".sqlite3", ".sql")
)  # fmt: skip
"""Parts of a name that speak of records although it can't be read: reviews.csv.bak, reviews.jsonl.xz, reviews.xml."""

HIDDEN = "its name begins with . or _"
UNKNOWN = "its ending is not one that can be read"
LINK = "it is a link to a folder"

_ATTACHED = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif",
     ".svg", ".wav", ".mp3", ".ogg", ".oga", ".opus", ".flac", ".m4a", ".aac", ".amr", ".3gp", ".caf", ".mka", ".mkv",
     ".webm", ".mp4", ".mov", ".wma", ".aif", ".aiff")
)  # fmt: skip
"""Endings of pictures and recordings: they lie beside the records that name them, and are never taken for records."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source. ``name`` is its path below ``root``, with ``/``; ``ending`` is one of ``ENDINGS``.

    ``given``: columns, by the source's names, that its folders give (``source=stepik/``), with their values.
    ``known_as``: the name that reviews keep of where they came from; of a file of a Delta table that is its table's
    log, as its own name changes with every version. Nothing outside ``root`` is ever read for it.
    """

    root: Path
    name: str
    ending: str
    given: tuple[tuple[str, str], ...] = ()
    log: str | None = None

    @property
    def known_as(self) -> str:
        return self.log or self.name

    @property
    def path(self) -> Path:
        return self.root / self.name


@dataclass(frozen=True, slots=True)
class Aside:
    """What lies in a source's folder and is not read: its path below the root, and why (HIDDEN, UNKNOWN or LINK)."""

    name: str
    reason: str

    @property
    def may_hold_records(self) -> bool:
        """Whether it may be a source's file after all: a folder, hidden data, or what was renamed or packed."""
        parts = PurePosixPath(self.name).name.lower().split(".")[1:]
        return self.reason != UNKNOWN or any(f".{part}".rstrip("~") in _OF_DATA for part in parts)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source and what was left aside among them, both in the order of their names.

    Pictures and recordings are in neither: records name them. Nor is what lies hidden and does not end as data does
    (``_SUCCESS``, ``.DS_Store``), nor ``~$book.xlsx``, which Excel leaves while somebody has the book open. Of a folder
    that is left aside the folder is named.
    """

    files: tuple[SourceFile, ...]
    aside: tuple[Aside, ...] = ()


def root_of(path: str | Path) -> Path:
    """The folder that a source lies in: what is above ``{day}`` in its path, else the folder, or that of the file."""
    path = Path(path)
    at = next((i for i, part in enumerate(path.parts) if "{day}" in part), None)
    return Path(*path.parts[:at]) if at is not None else path if path.is_dir() else path.parent


def check_reachable(path: str | Path) -> None:
    """Raises UnreachableError where the folder of a source can't be listed, and SourceError for an address."""
    if "://" in str(path):
        raise SourceError(f"{path} is an address; a source is a file or a folder, such as one that is mounted here")
    root = root_of(path)
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise UnreachableError(
            f"the source's folder {root} can't be reached ({error.strerror}): is it mounted, and may this user read it?"
        ) from error


def files(path: str | Path, day: date | None = None) -> list[SourceFile]:
    """The files that ``find`` finds."""
    return list(find(path, day).files)


def find(path: str | Path, day: date | None = None) -> Listing:
    """A source's files: one file, or all of a folder and the folders in it.

    ``{day}`` in ``path`` stands for ``day`` as ``2024-05-01``, or for every day found there if ``day`` is None; what
    lies above it is then the root. Without it the root is the folder, or the folder that the one file lies in.

    In a folder, names that begin with ``.`` or ``_`` are left aside (as other readers of data folders do: they are
    leftovers and logs), and so are linked folders and endings that can't be read. Raises NothingThereError if there is
    nothing to read, and SourceError if a file to read is a link or no regular file. A folder with a ``_delta_log`` is a
    Delta table: the files of its current version.
    """
    if not str(path).strip():
        raise SourceError("a source is a file or a folder, and none is named")  # not the folder where one happens to be
    path = Path(path)
    at = next((i for i, part in enumerate(path.parts) if "{day}" in part), None)
    root = root_of(path)
    if at is None:
        places = [path]
    elif day is not None:
        places = [Path(str(path).replace("{day}", day.isoformat()))]
    else:
        places = [place for _, place in _every_day(root, path.parts[at:])]
        if not places:
            raise NothingThereError(f"{path}: no such path for any day; {{day}} stands for a date such as 2024-05-01")
    found = [each for place in places for each in _below(root, place)]
    return Listing(
        tuple(sorted((each for each in found if isinstance(each, SourceFile)), key=lambda file: file.name)),
        tuple(sorted((each for each in found if isinstance(each, Aside)), key=lambda aside: aside.name)),
    )


def note_aside(aside: Sequence[Aside], notes: Notes) -> None:
    """Note what was left aside, by the reason why."""
    for each in aside:
        notes.add(f"not read, because {each.reason}", each.name)


def _below(root: Path, path: Path) -> Sequence[SourceFile | Aside]:
    """What there is at ``path``, which is ``root`` or lies below it."""
    if path.is_symlink():
        raise SourceError(f"{path} is a link; name the file or folder that it leads to")
    if not path.exists():
        raise NothingThereError(f"{path} is not there; a source is a file or a folder of files {_endings()}")
    if not path.is_dir():
        return [_file(root, path)]
    found = list(_walk(root, path) if not delta.is_table(path) else _table(root, path))
    if not any(isinstance(each, SourceFile) for each in found):
        there = next((f" ({one.name}: {one.reason})" for one in found if isinstance(one, Aside)), "")
        raise NothingThereError(f"{path} holds no file to read{there}; a source's files end in {_endings()}")
    return found


def _walk(root: Path, folder: Path) -> Iterator[SourceFile | Aside]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            is_folder, name = entry.is_dir(follow_symlinks=False), path.relative_to(root).as_posix()
            if entry.name.startswith("~$") and not is_folder:
                continue
            if entry.name.startswith((".", "_")):
                if _holds_data(path) if is_folder else ending_of(entry.name):
                    yield Aside(name, HIDDEN)
            elif is_folder:
                yield from _table(root, path) if delta.is_table(path) else _walk(root, path)
            elif entry.is_symlink() and entry.is_dir():
                yield Aside(name, LINK)
            elif ending_of(entry.name):
                yield _file(root, path)
            elif path.suffix.lower() not in _ATTACHED:
                yield Aside(name, UNKNOWN)


def _table(root: Path, folder: Path) -> Iterator[SourceFile]:
    for name, given in delta.parts(folder):
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or ":" in parts[0]:
            raise SourceError(f"{folder} is a Delta table of files that lie elsewhere; copy them into it")
        path = folder.joinpath(*parts)
        if not os.path.lexists(path):
            raise SourceError(f"{folder} is a Delta table that lacks its file {name}; copy it whole")
        log = (folder / delta.LOG).relative_to(root).as_posix()
        yield replace(_file(root, path), given=given, ending=".parquet", log=log)


def _holds_data(folder: Path) -> bool:
    return any(ending_of(name) for _, _, names in os.walk(folder) for name in names)


def _file(root: Path, path: Path) -> SourceFile:
    name = path.relative_to(root).as_posix()
    ending = ending_of(name)
    if ending is None:
        raise SourceError(f"{path} can't be read; a source's files end in {_endings()}")
    if not stat.S_ISREG(path.lstat().st_mode):
        raise SourceError(f"{path} is a link or no regular file; put the file itself there")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{name!r} in {root}: the file's name is not UTF-8; rename it") from None
    return SourceFile(root, name, ending, _given(name))


_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def _given(name: str) -> tuple[tuple[str, str], ...]:
    """What the names of folders say of their records, as Hive, Spark and pandas write it: ``source=stepik/``."""
    pairs = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
    return tuple((unquote(key), unquote(value)) for key, value in pairs if value != _NO_VALUE)


def days_there(path: str | Path) -> list[date]:
    """The days of which a path with ``{day}`` is there. Raises SourceError where nothing can be there."""
    path = Path(path)
    at = next(i for i, part in enumerate(path.parts) if "{day}" in part)
    return [day for day, _ in _every_day(root_of(path), path.parts[at:])]


def _every_day(root: Path, parts: tuple[str, ...]) -> Iterator[tuple[date, Path]]:
    """Days, and the paths below ``root`` that ``parts`` describe, with one and the same date for every ``{day}``."""
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
                yield date.fromisoformat(match[1]), path


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def ending_of(name: str) -> str | None:
    """The longest of ``ENDINGS`` that ``name`` has."""
    lower = name.lower()
    return max((ending for ending in ENDINGS if lower.endswith(ending)), key=len, default=None)


def _endings() -> str:
    plain = [ending for ending, form in BY_ENDING.items() if ending in form.endings]
    return f"{', '.join(plain)} (those of text also with {', '.join(PACKED)} after it)"
