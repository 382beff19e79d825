"""Where a lake lies: a folder or ``s3://bucket/path``. Files appear whole or not at all."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib
from pyarrow import fs

from otzyv.schemas.errors import EnvironmentFault, LakeError
from otzyv.tasks.lake.delta.entry import Entry

if TYPE_CHECKING:
    from otzyv.tasks.lake.delta.object_store import ObjectStore

FRESH = 6 * 3600.0
"""Seconds for which a file on S3 counts as changed now."""
ASIDE = "_aside"
"""The folder where damaged files lie until somebody has looked at them."""
PAGES = "pages"
"""The folder of quality pages; their names begin with the time at which they were made."""
TEMPORARY = re.compile(r"(?:^|/)(?:\.part-[^/]*|\.[^/]+\.part|[^/]+#\d+|[^/]+\.tmp)$")
"""Files that are not finished yet, or never will be: ours, and those of deltalake."""


class StorageError(EnvironmentFault):
    """The lake's place can't be used as asked: names the place and what would work."""


SYNCED_AT_ONCE = 8
LISTINGS = 10
"""How often a folder is listed again when it comes or goes meanwhile."""
_MISREAD = re.compile(r"%[0-9A-Fa-f]{2}|[\\\x00-\x1f\x7f-\x9f]|[^\x00-\ud7ff\ue000-\U0010ffff]|_delta_log(?=/|$)")
"""What deltalake reads otherwise in a path than the file system does, however it is quoted."""


def check_uri(uri: str) -> str:
    """The address of a lake, if it can be one. Raises StorageError."""
    if not uri or ("://" in uri and not uri.startswith("s3://")) or uri.rstrip("/") in ("s3:", "s3://"):
        raise StorageError(f"can't keep a lake at {uri!r}: give a folder or s3://bucket/path")
    if found := _MISREAD.search(uri if uri.startswith("s3://") else str(_folder(uri))):
        raise StorageError(
            f"can't keep a lake at {uri!r}: deltalake does not take {found[0]!r} in a path; give a folder without it"
        )
    return uri


def address(uri: str) -> str:
    """The one address of a lake, however it was named; nothing is opened. Raises StorageError."""
    text = check_uri(uri)
    return text.rstrip("/") if text.startswith("s3://") else str(_folder(text))


def _folder(text: str) -> Path:
    """The folder itself, by whatever link or way around it is reached: one lake has one address."""
    return Path(text).expanduser().resolve()


class Storage:
    """Reads and writes below one root. Paths are relative to it, with forward slashes."""

    def __init__(self, uri: str | Path) -> None:
        text = check_uri(str(uri))
        self._objects: ObjectStore | None
        self.remote = text.startswith("s3://")
        if self.remote:
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            self.uri = text.rstrip("/")
            plain = endpoint is not None and endpoint.startswith("http://")
            self.options = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"} if plain else {}
            self._objects = _objects(self.uri, endpoint)
        else:
            self.root = _folder(text)
            for place in (self.root, *self.root.parents):
                if place.is_file():
                    raise StorageError(f"can't keep a lake at {text}: {place} is a file, and a lake is a folder")
            self.uri = str(self.root)
            self.options = {}
            self._objects = None
            self.fs = fs.SubTreeFileSystem(self.uri, fs.LocalFileSystem(use_mmap=False))

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def at(self, path: str) -> str:
        """The full address of a path, for people and for deltalake."""
        return f"{self.uri}/{path}"

    def exists(self, path: str) -> bool:
        return self._entry(path) is not None

    def size(self, path: str) -> int | None:
        """Bytes of the file, None where there is none."""
        entry = self._entry(path)
        return entry.size if entry else None

    def read(self, path: str) -> bytes:
        if self._objects:
            return self._objects.read(path)
        return (self.root / path).read_bytes()

    def _entry(self, path: str) -> Entry | None:
        """The file at a path, None where there is none."""
        if self._objects:
            return self._objects.head(path)
        info = self.fs.get_file_info(path)
        return Entry(path, info.size, info.mtime_ns) if info.type == fs.FileType.File else None

    def _entries(self, folder: str, *, recursive: bool = False) -> list[Entry]:
        """The files in a folder; none where it is not there."""
        if self._objects:
            return self._objects.objects(folder) if recursive else self._objects.listed(folder)[0]
        infos = self._listed(folder, recursive=recursive)
        return [Entry(info.path, info.size, info.mtime_ns) for info in infos if info.type == fs.FileType.File]

    def _listed(self, folder: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        """What lies in a folder on disk; nothing where it is not there."""
        selector = fs.FileSelector(folder, recursive=recursive, allow_not_found=True)
        for _ in range(LISTINGS):
            # Arrow takes a folder that comes, or one below that goes, while it lists for an error.
            with suppress(FileNotFoundError):
                return list(self.fs.get_file_info(selector))
        return list(self.fs.get_file_info(selector))

    def files(self, folder: str, *, recursive: bool = False) -> list[str]:
        """Paths of the files in a folder, sorted; none where the folder is not there."""
        return sorted(entry.path for entry in self._entries(folder, recursive=recursive))

    def sizes(self, folder: str) -> dict[str, int]:
        """Path -> bytes of the files in a folder; none where the folder is not there."""
        return {entry.path: entry.size for entry in self._entries(folder)}

    def folders(self) -> list[str]:
        """The folders in the root, sorted."""
        if self._objects:
            return sorted(self._objects.listed("")[1])
        return sorted(info.path for info in self._listed("") if info.type == fs.FileType.Directory)

    def delete(self, path: str) -> None:
        """Remove a file; one that is gone already is fine."""
        if self._objects:
            self._objects.delete(path)
            return
        with suppress(FileNotFoundError):
            self.fs.delete_file(path)

    def move(self, path: str, to: str) -> str:
        """Move a file within the lake; returns its new address."""
        if self._objects:
            self._objects.move(path, to)
        else:
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            self.fs.move(path, to)
        return self.at(to)

    def changed(self, folder: str) -> dict[str, float]:
        """Path -> time of the last change, in seconds since 1970, of the files in a folder and in those below it."""
        return {entry.path: entry.changed_at for entry in self._entries(folder, recursive=True)}

    def changed_at(self, path: str) -> float:
        """Time of the last change of a file, in seconds since 1970; infinite where there is none."""
        entry = self._entry(path)
        return entry.changed_at if entry else math.inf

    def touch(self, path: str) -> bool:
        """Make a file count as changed in the last hours; False where there is none, and where it must be rewritten.

        What counts so already is left as it is. On S3 nothing but writing a file again changes its time.
        """
        if time.time() - FRESH < self.changed_at(path) < math.inf:
            return True
        if self.remote:
            return False
        with suppress(FileNotFoundError):
            os.utime(self.root / path)
            return True
        return False

    def prune(self, folder: str) -> None:
        """Remove the folder and those below it, as far as they are empty. Nothing to do on S3."""
        if self.remote:
            return
        for place, _, _ in os.walk(self.root / folder, topdown=False):
            with suppress(OSError):
                os.rmdir(place)

    @contextmanager
    def create(self, path: str, *, sync: bool = True) -> Iterator[Written]:
        """A stream to a new file, which appears under its path, whole, when the block ends well.

        ``{crc}`` in the path becomes the CRC-32 of the contents (8 hex digits); ``parquet`` and ``arrow`` hold the
        file to it. ``sync``: it then survives a loss of power.
        """
        home = None if self.remote else (self.root / path).parent
        with self._telling_where(path), self._part(home) as file:
            part = Path(file.name)
            try:
                stream = Written(file)
                yield stream
                stream.path = path.replace("{crc}", f"{stream.crc:08x}")
                file.flush()
                if self._objects:
                    self._objects.put(stream.path, part)
                else:
                    os.fchmod(file.fileno(), 0o644)  # as others may read the lake; temporary files are private
                    if sync:
                        os.fsync(file.fileno())
                    part.replace(self.root / stream.path)
                    if sync:
                        _sync(part.parent)
                    _KNOWN[self.stamp(stream.path)] = stream.crc
            finally:
                part.unlink(missing_ok=True)

    @contextmanager
    def _telling_where(self, path: str) -> Iterator[None]:
        """An error that says no more can be written, or nothing at all, says in which folder."""
        try:
            yield
        except OSError as error:
            place = Path(self.at(path)).parent
            ours = error.filename and {place, *place.parents} & {Path(error.filename), Path(error.filename).parent}
            if ours and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise StorageError(
                    f"can't write to {place}: {(error.strerror or '').lower()}; let this user write there, or name a "
                    "place where it can"
                ) from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and error.filename is None:
                error.filename = self.at(path.rpartition("/")[0])
            raise

    def _part(self, home: Path | None) -> IO[bytes]:
        while True:
            if home is not None:
                home.mkdir(parents=True, exist_ok=True)
            try:
                return tempfile.NamedTemporaryFile(dir=home, prefix=".part-", delete=False)
            except FileNotFoundError:
                if home is None:
                    raise
                # Another process has removed the folder, which was empty, in between.

    def write(self, path: str, data: bytes) -> None:
        with self.create(path) as stream:
            stream.write(data)

    def write_new(self, path: str, data: bytes) -> bool:
        """Write a file unless it is there; True if this call made it: of two callers exactly one wins."""
        if self._objects:
            return self._objects.put_new(path, data)
        if self.exists(path):
            return False
        target = self.root / path
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            with self._telling_where(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                part.write_bytes(data)
                _sync(part)
            os.link(part, target)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        _sync(target.parent)
        return True

    def sync_files(self, paths: Collection[str]) -> None:
        """Make files that were created without survive a loss of power. Nothing to do on S3.

        Many are synced at once: the system then writes its journal once for several.
        """
        if self.remote or not paths:
            return
        places = [self.root / path for path in paths]
        folders = {folder for place in places for folder in (place.parent, place.parent.parent)}
        several = [*places, *folders]
        with ThreadPoolExecutor(min(SYNCED_AT_ONCE, len(several)), "sync") as pool:
            list(pool.map(_sync, several))

    def sync(self, path: str) -> None:
        """Make a file that another program wrote survive a loss of power. Nothing to do on S3."""
        if self.remote:
            return
        for place in (self.root / path, (self.root / path).parent):
            _sync(place)

    def parquet(self, path: str) -> pq.ParquetFile:
        """Open a Parquet file once its bytes are known to be those that were written.

        Raises DamagedFile if they are not: page checksums alone leave the footer and the page headers unguarded.
        """
        return pq.ParquetFile(self._verified(path), page_checksum_verification=True)

    def arrow(self, path: str) -> pa.Table:
        """An Arrow file, mapped where it lies on disk. Raises DamagedFile as ``parquet`` does."""
        with self._verified(path) as source:
            return pa.ipc.open_file(source).read_all()

    def _verified(self, path: str) -> pa.NativeFile:
        wanted = CRC.search(path)
        if self.remote:
            data = self.read(path)
            found, source = isal_zlib.crc32(data), pa.BufferReader(data)
        else:
            stamp = self.stamp(path)
            if stamp not in _KNOWN:
                _KNOWN[stamp] = _crc(self.root / path)
            found = _KNOWN[stamp]
            source = (
                pa.memory_map(str(self.root / path)) if path.endswith(".arrow") else pa.OSFile(str(self.root / path))
            )
        if wanted and found != int(wanted[1], 16):
            raise DamagedFile(f"{source.size()} bytes that are not those that were written")
        return source

    def stamp(self, path: str) -> Stamp:
        """What tells a file from one that was changed since. Raises FileNotFoundError."""
        if not self.remote:
            stat = (self.root / path).stat()
            return self.at(path), stat.st_size, stat.st_mtime_ns
        entry = self._entry(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.at(path))
        return self.at(path), entry.size, entry.changed_ns


def _objects(uri: str, endpoint: str | None) -> ObjectStore:
    from otzyv.tasks.lake.delta.object_store import ObjectStore  # its libraries are for lakes on S3 alone

    try:
        return ObjectStore(uri.removeprefix("s3://"), endpoint)
    except PermissionError as error:
        raise StorageError(f"can't open the lake at {uri}: {error}") from error


class DamagedFile(LakeError, OSError):
    """A file's bytes are not those that were written."""


class Written(io.RawIOBase):
    """Passes bytes on and keeps their CRC-32. ``path``: where the finished file lies."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._bytes = 0
        self.crc = 0
        self.path = ""

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._bytes

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.crc = isal_zlib.crc32(view, self.crc)
        self._bytes += view.nbytes
        return self._target.write(view)


CRC = re.compile(r"-([0-9a-f]{8})\.(?:parquet|arrow)$")


Stamp = tuple[str, int, int]
"""A file's address, its size and the time of its last change in nanoseconds since 1970."""

_KNOWN: dict[Stamp, int] = {}
"""CRC-32 of files on disk as this process wrote or last read them."""


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            crc = isal_zlib.crc32(block, crc)
    return crc
