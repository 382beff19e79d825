"""Mending logs and constants that a bad disk has changed: one flipped bit is found by trying, as checksums say which.

A log that another program has written to, or that a former otzyv made, bears no seal; it is sealed as it stands once
its files are seen to be those that it names.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import DeltaError

from otzyv.tasks.lake.config import FILE, checked
from otzyv.tasks.lake.delta.snapshot import (
    ACTIONS,
    COMMIT,
    SEAL,
    DataFile,
    State,
    TornLog,
    as_seal,
    define,
    definition_digest,
    file_digest,
    log_entry,
    open_state,
    seal,
    told_by,
)
from otzyv.tasks.lake.delta.storage import ASIDE, Storage

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What reading an entry raises that is not as it was written."""


def one_bit_off(data: bytes, right: Callable[[bytes], bool]) -> bytes | None:
    """The bytes with that one bit turned round that makes them right; None where there is none."""
    for place in range(len(data)):
        for bit in range(8):
            tried = _flipped(data, place, bit)
            if right(tried):
                return tried
    return None


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def mend_log(storage: Storage, name: str) -> list[str]:
    """Mend a table's log, if that can be done without a doubt; returns what was done, nothing where it can't be."""
    return _without_checkpoint(storage, name) or _one_bit(storage, name)


def _without_checkpoint(storage: Storage, name: str) -> list[str]:
    """Put a checkpoint aside that is not as it was written, where the log's entries tell all that it told."""
    log = f"{name}/_delta_log"
    paths = [path for path in storage.files(log) if "checkpoint" in path.rpartition("/")[2]]
    moved = {path: f"{ASIDE}/{path}-{time.time_ns()}" for path in paths}
    for path, aside in moved.items():
        storage.move(path, aside)
    if moved and readable(storage, name):
        return [f"moved to {storage.at(aside)}" for aside in moved.values()]
    for path, aside in moved.items():
        storage.move(aside, path)
    return []


def readable(storage: Storage, name: str) -> bool:
    """Whether a table's log tells what its seal says."""
    try:
        return open_state(storage, name) is not None
    except TornLog:
        return False


Change = DataFile | str | tuple[str] | None
"""What a line of an entry does to a table: a file that comes, the path of one that goes, a definition, or nothing."""


class _Replay:
    """A table's state as its entries make it, one after the other."""

    def __init__(self, name: str, state: State | None = None) -> None:
        self._name = name
        self._files = {file.path: file for file in (state.files if state else ())}
        self._definition = state.definition if state else None

    def apply(self, entry: bytes) -> bool:
        """Go on to the state after an entry, if that is the one which the entry's seal says."""
        try:
            changes = [self._change(json.loads(line)) for line in entry.splitlines()]
            told = json.loads(entry.splitlines()[0])["commitInfo"][SEAL]
            if as_seal(self._total() + sum(map(self._weight, changes))) != told:
                return False
        except _DAMAGED:
            return False
        for change in changes:
            if isinstance(change, DataFile):
                self._files[change.path] = change
            elif isinstance(change, str):
                self._files.pop(change, None)
            elif change is not None:
                (self._definition,) = change
        return True

    def mended(self, entry: bytes) -> bytes | None:
        """The entry with the one bit turned round that makes its seal right, None where there is none.

        Each line is tried by itself, as what the others do is known; lines that were joined or split, as a whole.
        """
        for place, byte in enumerate(entry):
            for bit in range(8):
                if (byte in _ENDS) != (byte ^ 1 << bit in _ENDS) and self.apply(tried := _flipped(entry, place, bit)):
                    return tried
        lines = entry.splitlines(keepends=True)
        for number, line in enumerate(lines):
            others = [*lines[:number], *lines[number + 1 :]]
            try:
                rest = self._total() + sum(self._weight(self._change(json.loads(each))) for each in others)
                told = json.loads(lines[0])["commitInfo"][SEAL] if number else None
            except _DAMAGED:
                continue  # two lines that are wrong are more than one bit
            if mended := one_bit_off(line, partial(self._right, rest, told)):
                return b"".join([*lines[:number], mended, *lines[number + 1 :]])
        return None

    def _right(self, rest: int, told: str | None, line: bytes) -> bool:
        """Whether a line makes the seal right beside the rest of its entry; ``told``: by the first line, if another."""
        try:
            said = json.loads(line)
            wanted = said["commitInfo"][SEAL] if told is None else told
            return as_seal(rest + self._weight(self._change(said))) == wanted
        except _DAMAGED:
            return False

    def _total(self) -> int:
        defined = definition_digest(self._definition) if self._definition else 0
        return defined + sum(map(file_digest, self._files.values()))

    def _weight(self, change: Change) -> int:
        """What a change adds to the sum that the seal is of."""
        if isinstance(change, DataFile):
            return file_digest(change)
        if isinstance(change, str):
            return -file_digest(self._files[change]) if change in self._files else 0
        if change is None:
            return 0
        return definition_digest(change[0]) - (definition_digest(self._definition) if self._definition else 0)

    def _change(self, line: dict[str, Any]) -> Change:
        if "metaData" in line:
            said = line["metaData"]
            fields = json.loads(said["schemaString"])["fields"]
            return (define(fields, said["partitionColumns"], said["description"], said["configuration"]),)
        if "remove" in line:
            return self._path(line["remove"])
        if "add" not in line:
            return None
        said = line["add"]
        told = json.loads(said["stats"])
        low, high = told["minValues"], told["maxValues"]
        same = {key: low[key] for key in low if low[key] == high[key]}
        (day,) = said["partitionValues"].values() or (None,)
        return DataFile(
            self._path(said),
            said["size"],
            told["numRecords"],
            date.fromisoformat(day) if day else None,
            same.get("run_key"),
            same.get("fingerprint"),
        )

    def _path(self, action: dict[str, Any]) -> str:
        return f"{self._name}/{unquote(action['path'])}"


_ENDS = b"\r\n"


def _one_bit(storage: Storage, name: str) -> list[str]:
    """Turn round the one bit of an entry that makes its seal right; nothing unless that fixes all of the log."""
    folder = storage.files(f"{name}/_delta_log")
    first, state = 0, None
    checkpoints = [int(path.rpartition("/")[2][:20]) for path in folder if path.endswith(".checkpoint.parquet")]
    if checkpoints:
        first = max(checkpoints) + 1
        try:
            handle = DeltaTable(storage.at(name), version=first - 1, storage_options=storage.options)
            state = told_by(handle, name)
        except (DeltaError, *_DAMAGED):
            return []
    replay = _Replay(name, state)
    mended: dict[str, bytes] = {}
    for path in (path for path in folder if path.endswith(".json") and path >= log_entry(name, first)):
        entry = storage.read(path)
        if replay.apply(entry):
            continue
        turned = replay.mended(entry)
        if turned is None or not replay.apply(turned):
            return []
        mended[path] = turned
    return [_put(storage, path, data) for path, data in mended.items()]


def _put(storage: Storage, path: str, data: bytes) -> str:
    """Write a mended file, once the damaged one lies aside."""
    aside = f"{ASIDE}/{path}-{time.time_ns()}"
    storage.write(aside, storage.read(path))
    storage.write(path, data)
    return f"turned round one bit of {storage.at(path)}; as it was: {storage.at(aside)}"


def mend_constants(storage: Storage) -> str | None:
    """Turn round the one bit that makes the lake's constants what they were; says what was done, None if it can't."""
    data = storage.read(FILE)
    mended = one_bit_off(data, lambda tried: checked(tried) is not None)
    if mended is None:
        return None
    return _put(storage, FILE, mended)


def mend_named(storage: Storage, path: str, sha256: str) -> str | None:
    """Turn round the one bit of a small file that makes it what its name says; None if that can't be done."""
    mended = one_bit_off(storage.read(path), lambda tried: hashlib.sha256(tried).hexdigest() == sha256)
    return _put(storage, path, mended) if mended is not None else None


def unsealed(storage: Storage, name: str) -> bool:
    """Whether a table's newest entry bears no seal: a former otzyv, or another program, has written it."""
    entries = [path for path in storage.files(f"{name}/_delta_log") if path.endswith(".json")]
    try:
        return bool(entries) and SEAL not in json.loads(storage.read(entries[-1]).splitlines()[0])["commitInfo"]
    except _DAMAGED:
        return False


def seal_log(storage: Storage, name: str) -> str | None:
    """Seal a table as its log tells it, if its files are those that the log names; else says what is wrong."""
    try:
        handle = DeltaTable(storage.at(name), storage_options=storage.options)
        state = told_by(handle, name)
    except (DeltaError, *_DAMAGED) as error:
        return str(error).splitlines()[0]
    for file in state.files:
        if wrong := _wrong(storage, file):
            return f"{storage.at(file.path)}: {wrong}"
    schema = Schema.from_json(state.definition)
    partition = json.loads(state.definition)["partition"]
    told = {COMMIT: uuid.uuid4().hex, ACTIONS: "0", SEAL: seal(state.definition, state.files)}
    handle.create_write_transaction(
        [],
        mode="append",
        schema=schema,
        partition_by=partition,
        commit_properties=CommitProperties(told, max_commit_retries=0),
    )
    return None


def _wrong(storage: Storage, file: DataFile) -> str | None:
    """What of a file is not as its log says; None where all is."""
    day = re.search(r"/day=(\d{4}-\d\d-\d\d)/", file.path)
    if file.day is not None and (day is None or day[1] != str(file.day)):
        return f"its log says it is of {file.day}"
    if (size := storage.size(file.path)) != file.size:
        return f"its log says it has {file.size} bytes, it has {size}"
    try:
        with storage.parquet(file.path) as parquet:
            if parquet.metadata.num_rows != file.rows:
                return f"its log says it has {file.rows} rows, it has {parquet.metadata.num_rows}"
    except (OSError, pa.ArrowInvalid) as error:
        return str(error)
    return None
