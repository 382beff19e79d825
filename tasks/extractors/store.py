"""The model store: where weights lie, how they get there, and the promise that none is used unless its sha256 fits.

Errors: ``WeightsError``, of which ``MissingWeights`` (a file is not there), ``WrongWeights`` (it is not what the card
names) and ``FetchFailed`` (the network's fault: pulling again goes on where it stopped).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.extractors.card import Card, File, Weights

if TYPE_CHECKING:
    import httpx

Progress = Callable[[str, int, int | None], None]
"""Called while a file is fetched: its name, bytes so far, bytes in all where known."""

_PACKAGE = "package:"


class WeightsError(RuntimeError):
    """Weights can't be used; the message names the extractor, the file, its place and what mends it."""


class MissingWeights(WeightsError):
    """A file of the weights is not in the store."""


class WrongWeights(WeightsError):
    """A file is there, but it is not the one the card names."""


class FetchFailed(WeightsError):
    """The source did not hand a file over."""


def root() -> Path:
    """The model store: ``OTZYV_MODELS``, else ``~/.cache/otzyv/models``. It need not exist."""
    place = os.environ.get("OTZYV_MODELS")
    return Path(place).expanduser() if place else Path.home() / ".cache" / "otzyv" / "models"


def choose(card: Card) -> Weights | None:
    """The first of the card's weights whose files are all there (by name and size, unread), else its first; or None."""
    there = (weights for weights in card.weights if all(_there(card.name, weights, file) for file in weights.files))
    return next(there, card.weights[0] if card.weights else None)


def locate(name: str, weights: Weights) -> dict[str, Path]:
    """File name -> path, every file's sha256 checked. Raises MissingWeights or WrongWeights."""
    paths = {file.name: _path(name, weights, file) for file in weights.files}
    missing = [file for file, path in paths.items() if not path.is_file()]
    if missing:
        raise MissingWeights(
            f"{name}: no file {', '.join(missing)} in the model store. {_cure(name, weights, missing)}"
        )
    for file in weights.files:
        found = _digest(paths[file.name])
        if not found.startswith(file.sha256):
            raise WrongWeights(
                f"{name}: {file.name} has sha256 {found}, not {file.sha256}. {_cure(name, weights, [file.name])}"
            )
    return paths


def digest(name: str, weights: Weights) -> dict[str, str]:
    """File name -> sha256 of what lies in the store, for the lake to record where a source publishes none."""
    return {file: _digest(path) for file, path in locate(name, weights).items()}


def pull(name: str, weights: Weights, progress: Progress | None = None) -> None:
    """Fetch what is missing or wrong; a file that fits is left alone. Raises as ``locate``, and FetchFailed.

    Each file has a lock, so that two processes fetch it once, and appears under its name only when it is whole.
    """
    from filelock import FileLock

    for file in weights.files:
        path = _path(name, weights, file)
        if file.url is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not (path.is_file() and _digest(path).startswith(file.sha256)):
                _fetch(name, file, path, progress or (lambda *_: None))
    locate(name, weights)


def _path(name: str, weights: Weights, file: File) -> Path:
    if not weights.source.startswith(_PACKAGE):
        return root() / name / file.name
    package = weights.source.removeprefix(_PACKAGE)
    spec = importlib.util.find_spec(package)  # importlib.resources would run the package's code to tell its place
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise MissingWeights(f"{name}: {file.name} comes with the package {package!r}, which is not installed")
    return Path(places[0]) / file.name


def _there(name: str, weights: Weights, file: File) -> bool:
    try:
        size = _path(name, weights, file).stat().st_size
    except (OSError, MissingWeights):
        return False
    return file.bytes is None or size == file.bytes


def _cure(name: str, weights: Weights, files: list[str]) -> str:
    if weights.source.startswith(_PACKAGE):
        return f"It comes with {weights.source.removeprefix(_PACKAGE)!r}: install that package again"
    places = ", ".join(str(root() / name / file) for file in files)
    if all(file.url for file in weights.files if file.name in files):
        return f"Run `otzyv models pull {name}`, or put it at {places} (source: {weights.source} {weights.revision})"
    return f"Put it at {places} (source: {weights.source} {weights.revision})"


def _digest(path: Path) -> str:
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _sha256(path: str, _size: int, _mtime: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(name: str, file: File, path: Path, progress: Progress) -> None:
    """Download to a part file, going on where an earlier attempt stopped, check it, and move it into place."""
    import httpx

    assert file.url is not None
    # The sha256 in its name keeps a part of one revision from being continued with another's bytes.
    part = path.with_name(f".{path.name}.{file.sha256[:16]}.part")
    if not file.sha256:
        part.unlink(missing_ok=True)  # nothing would notice if the halves did not fit
    resumed = part.exists() and part.stat().st_size > 0
    try:
        with httpx.Client(follow_redirects=True, timeout=30, event_hooks={"request": [_refuse_plain]}) as client:
            _download(client, file, part, progress)
    except (httpx.HTTPError, OSError) as error:
        kept = part.stat().st_size if part.exists() else 0
        raise FetchFailed(
            f"{name}: {file.name} could not be fetched from {file.url} ({type(error).__name__}: {error}). "
            f"Run `otzyv models pull {name}` again (it has {kept:,} bytes), or put it at {path}"
        ) from error
    found = _digest(part)
    if found.startswith(file.sha256):
        part.replace(path)
        return
    part.unlink()
    if resumed:  # the earlier part may be what was wrong: once more from the start
        _fetch(name, file, path, progress)
        return
    raise WrongWeights(f"{name}: {file.name} from {file.url} has sha256 {found}, not {file.sha256}; it was not kept")


def _download(client: httpx.Client, file: File, part: Path, progress: Progress) -> None:
    assert file.url is not None
    have = part.stat().st_size if part.exists() else 0
    if have and have == file.bytes:
        return
    headers = {"accept-encoding": "identity"} | ({"range": f"bytes={have}-"} if have else {})
    with client.stream("GET", file.url, headers=headers) as response:
        if have and response.status_code == 416:  # longer than what the source has, so it is not a part of that
            part.unlink()
            _download(client, file, part, progress)
            return
        response.raise_for_status()
        if not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            have = 0
        length = response.headers.get("content-length")
        total = file.bytes or (have + int(length) if length else None)
        with part.open("ab" if have else "wb") as stream:
            for chunk in response.iter_raw(1 << 20):
                have += len(chunk)
                if file.bytes is not None and have > file.bytes:
                    break  # more than the card says: the sha256 will not fit, and the disk need not fill
                stream.write(chunk)
                progress(file.name, have, total)
            stream.flush()
            os.fsync(stream.fileno())


def _refuse_plain(request: httpx.Request) -> None:
    """Only https, redirects included. Loopback may go without: there is nobody in between."""
    import httpx

    if request.url.scheme != "https" and not _loopback(request.url.host):
        raise httpx.UnsupportedProtocol(f"weights come over https only, not {request.url.scheme}", request=request)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
