"""Fetching weights from their source into the model store: once, resumably, never a wrong file under a good name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otzyv.tasks.models import store
from otzyv.tasks.models.store import FetchFailed, WrongWeights
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    import httpx

Progress = Callable[[str, int, int | None], None]
"""Called while a file is fetched: its name, bytes so far, bytes in all where known."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def pull(
    name: str,
    weights: Weights,
    progress: Progress | None = None,
    *,
    to: Path | None = None,
    unpinned: bool = False,
) -> None:
    """Fetch what is missing or wrong; a file that fits is left alone. Raises as ``store.locate``, and FetchFailed.

    Each file has a lock, so that two processes fetch it once, and appears under its name only when it is whole.
    ``to``: another folder than the model store, laid out alike. ``unpinned``: files whose sha256 is not known whole
    are allowed, and that of each is recorded; else they are refused before anything is fetched.
    """
    from filelock import FileLock

    if store.stored(weights) and not unpinned:
        store.check_pinned(name, weights, store.weight_paths(name, weights, to))
    for file in weights.files:
        path = store.weight_paths(name, weights, to)[file.name]
        if not store.stored(weights) or (file.url is None and not path.is_file()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if file.url is not None and not store.fits(name, weights, file, path):
                fetch(name, weights, file, path, progress or (lambda *_: None))
            if store.fits(name, weights, file, path):
                store.record(file, path)
    store.locate(name, weights, to)


def fetch(name: str, weights: Weights, file: File, path: Path, progress: Progress) -> None:
    """Download to a part file, going on where an earlier attempt stopped, check it, and move it into place."""
    import httpx

    # The sha256 in its name keeps a part of one revision from being continued with another's bytes.
    part = path.with_name(f".{path.name}.{file.sha256[:16]}.part")
    tag = part.with_suffix(".etag")
    if not file.sha256 and not tag.exists():
        part.unlink(missing_ok=True)  # nothing would notice if the halves did not fit
    resumed = part.exists() and part.stat().st_size > 0
    published: list[str] = []
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [_refuse_plain], "response": [partial(_note, published)]}
    try:
        with httpx.Client(follow_redirects=True, timeout=30, event_hooks=hooks) as client:
            _download(client, file, part, tag, progress)
    except (httpx.HTTPError, OSError) as error:
        kept = part.stat().st_size if part.exists() else 0
        raise FetchFailed(
            f"{name}: {file.name} could not be fetched from {file.url} ({type(error).__name__}: {error}). "
            f"Run `otzyv models pull {name}` again (it has {kept:,} bytes), or put it at {path}"
        ) from error
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    tag.unlink(missing_ok=True)
    try:
        if published and found != published[-1]:
            raise WrongWeights(f"{name}: {file.name} has sha256 {found}, its source says {published[-1]}")
        store.check(name, weights, file, path, found)
    except WrongWeights as error:
        part.unlink()
        if not resumed:
            raise WrongWeights(f"From {file.url}: {error}. It was not kept") from error
        fetch(name, weights, file, path, progress)  # the earlier part may be what was wrong: once more from the start
    else:
        part.replace(path)


def _download(client: httpx.Client, file: File, part: Path, tag: Path, progress: Progress) -> None:
    assert file.url is not None
    have = part.stat().st_size if part.exists() else 0
    if have and have == file.bytes:
        return
    headers = {"accept-encoding": "identity"}
    if have:
        headers["range"] = f"bytes={have}-"
        if not file.sha256:  # the source itself is to say that it is the same file still
            headers["if-range"] = tag.read_text(encoding="latin-1")
    with client.stream("GET", file.url, headers=headers) as response:
        if have and response.status_code == 416:  # longer than what the source has, so it is not a part of that
            part.unlink()
            _download(client, file, part, tag, progress)
            return
        response.raise_for_status()
        if not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            have = 0
        if not have:
            tag.unlink(missing_ok=True)
        etag = response.headers.get("etag", "")
        length = response.headers.get("content-length")
        total = file.bytes or (have + int(length) if length else None)
        with part.open("ab" if have else "wb") as stream:
            if etag.startswith('"'):  # a weak one does not speak of bytes
                tag.write_text(etag, encoding="latin-1")
            for chunk in response.iter_raw(1 << 20):
                have += len(chunk)
                if file.bytes is not None and have > file.bytes:
                    break  # more than the card says: the sha256 will not fit, and the disk need not fill
                stream.write(chunk)
                progress(file.name, have, total)
            stream.flush()
            os.fsync(stream.fileno())


def _note(published: list[str], response: httpx.Response) -> None:
    """Keep the sha256 that the Hugging Face hub tells of a large file, in its answer that redirects to the bytes."""
    told = response.headers.get("x-linked-etag", "").strip('"')
    if _SHA256.fullmatch(told):
        published.append(told)


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
