"""What extractors learned or run with, by name and version, and which of it is in use: the table ``models``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

import pyarrow as pa

from otzyv.schemas.errors import ModelError
from otzyv.schemas.tables import MODELS
from otzyv.tasks.lake.delta.publish import commit, write_file
from otzyv.tasks.lake.delta.snapshot import Snapshot, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import DamagedFile, Storage

State = Literal["candidate", "current", "retired"]
Result = TypeVar("Result")


IDENTITIES = "fingerprints"
STALE = "reviews_forgotten_since"
"""Where ``fitted_on`` notes the day on which reviews that a fit may have learned from were forgotten."""


_SHA256 = re.compile(r"[0-9a-f]{64}")


class NoModel(ModelError, LookupError):
    """No such version was ever fitted, or what it learned is gone."""


@dataclass(frozen=True, slots=True)
class Model:
    """One version. ``fitted_on``: what it was made from, as plain data."""

    name: str
    version: int
    sha256: str
    fitted_on: Mapping[str, Any]
    state: State
    created_at: datetime = field(compare=False)


def artefact_path(sha256: str) -> str:
    """Where what a fit learned lies, relative to the lake."""
    return f"artefacts/{sha256}.safetensors"


def identity_path(fingerprint: str) -> str:
    """Where a lake keeps what a fingerprint was made of, so that a later one can be told from it."""
    return f"{IDENTITIES}/{fingerprint}.json"


def artefact(storage: Storage, sha256: str) -> bytes:
    """What a fit learned. Raises FileNotFoundError, and DamagedFile if it is not what was written."""
    return checked(storage, artefact_path(sha256), sha256)


def identity(storage: Storage, fingerprint: str) -> str | None:
    """What a fingerprint was made of, as JSON; None where the lake does not tell. Raises DamagedFile."""
    path = identity_path(fingerprint)
    return checked(storage, path, fingerprint).decode() if storage.exists(path) else None


def checked(storage: Storage, path: str, sha256: str) -> bytes:
    """The bytes of a file that is named by their sha256."""
    data = storage.read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedFile(
            f"{storage.at(path)}: its {len(data)} bytes are not those that were written; "
            f"`otzyv doctor --deep --lake {storage.uri}` tells how to repair it"
        )
    return data


def behind(storage: Storage, fingerprints: Iterable[str]) -> set[str]:
    """Every sha256 that these fingerprints were made of, artefacts and other fingerprints, and theirs in turn.

    Raises FileNotFoundError where the lake does not tell it of one of them.
    """
    found = left = set(fingerprints)
    texts = [checked(storage, identity_path(each), each).decode() for each in left]
    while left:
        left = {sha for text in texts for sha in _SHA256.findall(text)} - found
        found = found | left
        texts = [text for each in left if (text := identity(storage, each)) is not None]
    return found


def current(storage: Storage, name: str) -> Model | None:
    """The version in use; None before the first."""
    known = _read(storage, open_snapshot(storage, MODELS))
    return next((model for model in known if model.name == name and model.state == "current"), None)


def fitted(storage: Storage) -> list[Model]:
    """Every version that was learned from days of the lake, by name and version."""
    known = _read(storage, open_snapshot(storage, MODELS))
    return [model for model in known if {"from", "to"} <= model.fitted_on.keys()]


def add(storage: Storage, name: str, sha256: str, fitted_on: Mapping[str, Any]) -> tuple[Model, bool]:
    """Note an artefact, and whether it is new: the first of its name is current at once, later ones are candidates.

    One that is there already stays as it is, with the state it has.
    """

    def change(known: Sequence[Model]) -> tuple[tuple[Model, bool], list[Model]]:
        mine = [model for model in known if model.name == name]
        for model in mine:
            if model.sha256 == sha256:
                # Learned again without those who were forgotten since, it is the same: so it is theirs no more.
                renewed = replace(model, fitted_on=fitted_on) if STALE in model.fitted_on else model
                return (renewed, False), [renewed if each is model else each for each in known]
        version = max((model.version for model in mine), default=0) + 1
        new = Model(name, version, sha256, fitted_on, "candidate" if mine else "current", datetime.now(UTC))
        return (new, True), [*known, new]

    return _change(storage, change)


def promote(storage: Storage, name: str, version: int | None = None) -> Model:
    """Make a version current, by default the newest; the one in use so far is retired. Raises NoModel."""

    def change(known: Sequence[Model]) -> tuple[Model, list[Model]]:
        mine = {model.version: model for model in known if model.name == name}
        if not mine:
            raise NoModel(f"nothing was fitted under the name {name!r} in {storage.uri}; there are: {_names(known)}")
        chosen = mine.get(max(mine) if version is None else version)
        if chosen is None:
            raise NoModel(f"{name} has no version {version} in {storage.uri}; it has: {', '.join(map(str, mine))}")
        path = artefact_path(chosen.sha256)
        # Maintenance removes what retired ones learned once it is old; it does not count as old any more.
        if chosen.state == "retired" and not (storage.touch(path) or storage.exists(path)):
            on = chosen.fitted_on
            raise NoModel(
                f"what {name} version {chosen.version} learned is gone from {storage.uri}; bring it back with: "
                f"otzyv fit {name} --lake {storage.uri} --from {on.get('from')} --to {on.get('to')}"
            )
        promoted = replace(chosen, state="current")
        others = (model for model in known if (model.name, model.version) != (name, chosen.version))
        retired = (replace(m, state="retired") if m.name == name and m.state == "current" else m for m in others)
        return promoted, [*retired, promoted]

    return _change(storage, change)


def mark_stale(storage: Storage, days: Collection[date]) -> list[Model]:
    """Note of every fit which learned from these days that reviews of them were forgotten since; returns all of them.

    A stale fit stays in use until another one is promoted.
    """
    now = datetime.now(UTC).date().isoformat()

    def change(known: Sequence[Model]) -> tuple[list[Model], list[Model]]:
        hit = [m for m in known if any(_learned_from(m, day) for day in days)]
        marked = [replace(m, fitted_on={**m.fitted_on, STALE: m.fitted_on.get(STALE, now)}) for m in hit]
        return marked, [*(m for m in known if m not in hit), *marked]

    return _change(storage, change)


def _learned_from(model: Model, day: date) -> bool:
    on = model.fitted_on
    return bool({"from", "to"} <= on.keys() and on["from"] <= day.isoformat() <= on["to"])


def _names(known: Sequence[Model]) -> str:
    return ", ".join(sorted({model.name for model in known})) or "none"


def _change(storage: Storage, change: Callable[[Sequence[Model]], tuple[Result, list[Model]]]) -> Result:
    """Replace the table's rows, if they are still those that the change was made from; else make it again."""
    while True:
        snapshot = open_snapshot(storage, MODELS)
        before = _read(storage, snapshot)
        result, after = change(before)
        after.sort(key=lambda model: (model.name, model.version))
        if after == before:
            return result
        rows = pa.Table.from_pylist([_row(model) for model in after], schema=MODELS.arrow)
        file = write_file(storage, MODELS, None, rows)
        if commit(storage, snapshot, [None], [file] if file else []) == "published":
            return result


def _row(model: Model) -> dict[str, Any]:
    return asdict(model) | {"fitted_on": json.dumps(model.fitted_on, ensure_ascii=False, sort_keys=True)}


def _read(storage: Storage, snapshot: Snapshot) -> list[Model]:
    rows = read_table(storage, MODELS, snapshot.files).to_pylist()
    known = [Model(**{**row, "fitted_on": json.loads(row["fitted_on"])}) for row in rows]
    return sorted(known, key=lambda model: (model.name, model.version))
