"""Which file below a source's root a record means, however its path was written: by Windows, by a Mac, or for the web.

A path is compared with the names that are there; what is opened is always one of those names, or the path as it was
written. So nothing in how a path is decoded or compared can lead out of the root.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from otzyv.tasks.sources.beneath import NotPlainError, names_beneath

Parts = tuple[str, ...]
Alike = Callable[[str], str]
"""What two names have in common that count as one."""

FOLDERS_KNOWN = 16
"""Of how many folders the names are kept: a folder of many files is not listed again for each that is missing."""
MOST_ALIKE = 64
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class RefusedPath(Exception):
    """No file is taken for a path. ``reason``: one of ``schemas.tables.ATTACHMENT_REASONS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def readings(uri: str) -> list[str]:
    """What a path may mean, the nearest first.

    As it stands; without blanks around it; with ``\\`` as ``/``; with %XX decoded, once and as UTF-8; with both.
    """
    bare = uri.strip()
    found = [uri, bare, bare.replace("\\", "/")]
    try:
        decoded = unquote(bare, errors="strict")
    except UnicodeDecodeError:
        return list(dict.fromkeys(found))
    return list(dict.fromkeys([*found, decoded, decoded.replace("\\", "/")]))


def parts_of(folder: Sequence[str], path: str) -> tuple[Parts, Parts]:
    """The names that lead from the root to a path that is written relative to a folder: those given, those written.

    ``path`` has ``/`` between its parts; ``..`` may lead up within the root. Raises RefusedPath for an absolute path, a
    URL (RFC 3986: a path with a colon in its first part needs ``./`` before it), and one that leads out of the root.
    """
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise RefusedPath("an absolute path")
    if _SCHEME.match(path):
        raise RefusedPath("a URL")
    if not path or path.endswith("/") or "\0" in path:
        raise RefusedPath("not a file")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise RefusedPath("not a file") from None
    given, written = list(folder), list[str]()
    for part in path.split("/"):
        if part == "..":
            if not (written or given):
                raise RefusedPath("outside the folder")
            (written or given).pop()
        elif part not in ("", "."):
            written.append(part)
    return tuple(given), tuple(written)


def composed(name: str) -> str:
    """Equal for й in one character (as most systems write it) and in two (as a Mac does): NFC."""
    return unicodedata.normalize("NFC", name)


def casefolded(name: str) -> str:
    """Equal for upper and lower case as well, as Windows and a Mac take names."""
    return composed(composed(name).casefold())


class Names:
    """The names in a source's folders, as they were when they were first asked for."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Path, Parts, Alike], dict[str, list[str]]] = OrderedDict()

    def alike(self, root: Path, given: Parts, written: Parts, alike: Alike) -> Iterator[Parts]:
        """The paths below ``root`` whose last parts are alike; the first are as given. Links are not entered."""
        if not written:
            yield given
            return
        for name in self._names(root, given, alike).get(alike(written[0]), ())[:MOST_ALIKE]:
            yield from self.alike(root, (*given, name), written[1:], alike)

    def _names(self, root: Path, folder: Parts, alike: Alike) -> dict[str, list[str]]:
        place = (root, folder, alike)
        if place not in self._known:
            found: dict[str, list[str]] = {}
            self._known[place] = found
            for name in _listed(root, folder):
                found.setdefault(alike(name), []).append(name)
            while len(self._known) > FOLDERS_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(place)
        return self._known[place]


def _listed(root: Path, folder: Parts) -> list[str]:
    try:
        return names_beneath(root, folder)
    except (NotPlainError, FileNotFoundError):
        return []
