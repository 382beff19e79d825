"""Weights in one archive, for machines without network: a plain tar, laid out as the model store, behind a manifest.

An archive is not trusted: only files that a card names are taken from it, at most as large as the manifest says, and
every one is checked before the first moves into the store.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Self

from otzyv.schemas.errors import InputError
from otzyv.tasks.models import store
from otzyv.tasks.models.fetch import Progress
from otzyv.tasks.models.weights import File, NamesWeights, Weights

MANIFEST = "otzyv-models.json"

_MANIFEST_BYTES = 1 << 20
_HEADER_BYTES = 4096
"""What a long name takes."""
_FOREIGN = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE)  # fmt: skip
_CHUNK = 1 << 20


class BadArchive(InputError, ValueError):
    """The archive can't be used; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A file that the manifest lists, beside what the card says of it."""

    name: str
    weights: Weights
    file: File
    sha256: str
    bytes: int

    @property
    def member(self) -> str:
        """Where it lies in the archive and in the store: one place where extractors share a file."""
        return str(PurePosixPath(self.weights.folder or self.name, self.file.name))


class _Member(tarfile.TarInfo):
    """A member as ``write`` makes it. tarfile reads a header before its file whole, whatever its size is said to be."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _FOREIGN or (member.type == tarfile.XHDTYPE and member.size > _HEADER_BYTES):
            raise BadArchive(f"it has a header of {member.size:,} bytes, which otzyv does not write")
        return member


def write(cards: Sequence[NamesWeights], archive: Path, progress: Progress = lambda *_: None) -> tuple[str, ...]:
    """Put weights that lie in the store into an archive; the names of the extractors it now holds.

    Cards without weights, or with weights outside of the store, are left out. The same files make the same bytes.
    Raises as ``store.locate``; the archive appears under its name only when it is whole.
    """
    chosen = [(card.name, weights) for card in cards if (weights := store.choose(card)) and store.stored(weights)]
    files = [
        _Expected(name, weights, file, digests[file.name], paths[file.name].stat().st_size)
        for name, weights in chosen
        for paths, digests in [(store.locate(name, weights), store.digest(name, weights))]
        for file in weights.files
    ]
    listed: dict[str, dict[str, object]] = {}
    for file in files:
        listed.setdefault(file.name, {})[file.file.name] = {"sha256": file.sha256, "bytes": file.bytes}
    manifest = json.dumps(listed, indent=1).encode()
    part = archive.with_name(f".{archive.name}.{os.getpid()}.part")
    try:
        with tarfile.open(part, "x", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_header(MANIFEST, len(manifest)), io.BytesIO(manifest))
            for file in _once(files):
                with store.weight_paths(file.name, file.weights)[file.file.name].open("rb") as stream:
                    tar.addfile(_header(file.member, file.bytes), stream)
                progress(file.member, file.bytes, file.bytes)
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
    return tuple(name for name, _ in chosen)


def read(
    archive: Path,
    card: Callable[[str], NamesWeights],
    progress: Progress = lambda *_: None,
    unpinned: Collection[str] = (),
) -> tuple[str, ...]:
    """Take an archive's weights into the store; the names of the extractors they are for. ``card`` gives a name's card.

    ``unpinned``: names whose files are taken although their sha256 is not known whole; it is then recorded.
    Raises BadArchive for anything but an archive of files that cards name, WrongWeights where a file is not the one
    named, UnpinnedWeights where one is not known and not allowed; the store is then as it was.
    """
    from filelock import FileLock

    store.root().mkdir(parents=True, exist_ok=True)
    try:
        with (
            tarfile.open(archive, "r:", tarinfo=_Member) as tar,
            TemporaryDirectory(dir=store.root(), prefix=".import-") as folder,
        ):
            files = list(_manifest(tar, card))
            for name, weights in {file.name: file.weights for file in files if file.name not in unpinned}.items():
                places = store.weight_paths(name, weights)
                store.check_pinned(name, weights, places, f"otzyv models import {archive}")
            for file in _once(files):
                _copy(tar, file, Path(folder) / file.member, progress)
            if (more := tar.next()) is not None:
                raise BadArchive(f"it holds {more.name!r}, which its manifest does not list")
            for file in _once(files):
                path = store.weight_paths(file.name, file.weights)[file.file.name]
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(path.with_name(f".{path.name}.lock")):
                    (Path(folder) / file.member).replace(path)
                    store.record(file.file, path)
    except (tarfile.TarError, BadArchive, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise BadArchive(f"{archive} is not an archive by `otzyv models export` for this otzyv: {why}") from error
    return tuple(dict.fromkeys(file.name for file in files))


def _header(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # of no date and nobody
    member.size = size
    return member


def _next(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """The archive's next member, which must be the plain file ``name``: no link, folder, device or file with holes."""
    member = tar.next()
    if member is None:
        raise BadArchive(f"it ends before {name!r}")
    if member.name != name:
        raise BadArchive(f"it holds {member.name!r} where {name!r} should be")
    if member.type != tarfile.REGTYPE or member.sparse is not None:
        raise BadArchive(f"{name!r} is not a plain file")
    return member


def _manifest(tar: tarfile.TarFile, card: Callable[[str], NamesWeights]) -> Iterator[_Expected]:
    """The listed files, each with the weights of its card that it belongs to."""
    member = _next(tar, MANIFEST)
    if member.size > _MANIFEST_BYTES:
        raise BadArchive(f"its manifest has {member.size:,} bytes")
    content = tar.extractfile(member)
    assert content is not None
    models: dict[str, dict[str, tuple[str, int]]] = {}
    try:
        for name, files in json.loads(content.read()).items():
            models[name] = {file: (str(known["sha256"]), int(known["bytes"])) for file, known in files.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadArchive(f"its manifest can't be read ({type(error).__name__})") from error
    for name, listed in models.items():
        try:
            weights = _weights(card(name), listed)
        except LookupError as error:
            raise BadArchive(str(error.args[0])) from error
        yield from (_Expected(name, weights, file, *listed[file.name]) for file in weights.files)


def _once(files: Sequence[_Expected]) -> list[_Expected]:
    return list({file.member: file for file in files}.values())


def _weights(card: NamesWeights, listed: dict[str, tuple[str, int]]) -> Weights:
    def meant(weights: Weights) -> bool:
        return {file.name for file in weights.files} == set(listed) and all(
            listed[file.name][0].startswith(file.sha256) and file.bytes in (None, listed[file.name][1])
            for file in weights.files
        )

    for weights in card.weights:
        if meant(weights) and store.stored(weights):
            return weights
    raise BadArchive(f"{card.name}'s card names other files than {', '.join(listed)}, or of another size or sha256")


def _copy(tar: tarfile.TarFile, file: _Expected, to: Path, progress: Progress) -> None:
    member = _next(tar, file.member)
    if member.size != file.bytes:
        raise BadArchive(f"{file.member!r} has {member.size:,} bytes, not {file.bytes:,}")
    content: Any = tar.extractfile(member)
    digest, done = hashlib.sha256(), 0
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("xb") as stream:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            done += len(chunk)
            progress(file.member, done, file.bytes)
        stream.flush()
        os.fsync(stream.fileno())
    if digest.hexdigest() != file.sha256:
        raise BadArchive(f"{file.member!r} has sha256 {digest.hexdigest()}, not {file.sha256}")
    path = store.weight_paths(file.name, file.weights)[file.file.name]
    store.check(file.name, file.weights, file.file, path, digest.hexdigest())
