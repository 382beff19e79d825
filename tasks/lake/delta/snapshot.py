"""A Delta table as it stands at one version: which files hold which day."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from otzyv.schemas.errors import EnvironmentFault, LakeError
from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.lake.delta.storage import Storage

T = TypeVar("T")


class TornLog(LakeError):
    """An entry of a table's log is empty, cut off or gone: rows would be missing without a word."""


class BrokenSeal(TornLog):
    """What a table's log tells is not what was written: a bit was flipped, or another program has written to it."""


class CorruptFile(LakeError):
    """A data file is missing, has the wrong size or fails its checksums."""

    def __init__(self, storage: Storage, path: str, error: Exception) -> None:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        fixes = f"`otzyv doctor --deep --lake {storage.uri}` tells how to repair it"
        told = _OF_A_DAY.fullmatch(path)
        if told and isinstance(error, FileNotFoundError):  # as a doctor leaves it that took the damaged file out
            table, day = told.groups()
            only = "" if table == CLEAN_TEXT.name else f" --extractors {table}"
            made = f"features --lake {storage.uri} --day {day}{only}"
            made = f"run --source SOURCE --lake {storage.uri}" if table in (REVIEWS.name, ATTACHMENTS.name) else made
            fixes = f"`otzyv {made}` brings the day back, and {fixes}"
        super().__init__(f"{storage.at(path)}: {said}; {fixes}")


_OF_A_DAY = re.compile(r"(?!quarantine/|quality/)([^/]+)/day=(\d{4}-\d\d-\d\d)/[^/]+")


class WriteFailed(EnvironmentFault, OSError):
    """The environment refused a commit; the table is as it was. deltalake's own message in one line, with the place."""

    def __init__(self, storage: Storage, table: Table, error: Exception) -> None:
        said = " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", " ", str(error)).split())
        super().__init__(f"table {table.name!r} is as it was: could not commit to {storage.at(table.name)}: {said}")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table. ``path`` is relative to the lake's root."""

    path: str
    size: int
    rows: int
    day: date | None
    run_key: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """A table at the version it had when it was opened; commits through it are refused once that has changed.

    Where nobody has written to the table yet the version is -1. Reading makes no table.
    """

    table: Table
    version: int
    files: tuple[DataFile, ...]
    definition: str = ""
    """The table's columns and settings in its log, as ``define`` writes them."""

    @cached_property
    def _by_day(self) -> Mapping[date | None, tuple[DataFile, ...]]:
        found: dict[date | None, list[DataFile]] = {}
        for file in self.files:
            found.setdefault(file.day, []).append(file)
        return {day: tuple(files) for day, files in found.items()}

    def of(self, day: date | None) -> tuple[DataFile, ...]:
        return self._by_day.get(day, ())

    @cached_property
    def days(self) -> tuple[date, ...]:
        return tuple(sorted(day for day in self._by_day if day is not None))

    def holds(self, day: date, run_key: str) -> bool:
        """Whether the day as it stands is the publication of that run key."""
        files = self.of(day)
        return bool(files) and all(file.run_key == run_key for file in files)


STATISTICS = ("run_key", "fingerprint")
"""The only columns with statistics in the log: nothing personal may stand there."""


COMMIT, ACTIONS, SEAL = "otzyv.commit", "otzyv.actions", "otzyv.seal"
"""What a commit of ours says of itself: a name that no other has, how many files it adds and removes, and the seal of
all that the table holds after it. Every reader compares that with what it has read, be it from entries or a checkpoint.
"""


TABLES_KNOWN = 64
"""Of how many tables a process remembers which files their logs name."""


@dataclass(frozen=True, slots=True)
class State:
    """What a table's log tells: its data files, and its definition as ``define`` writes it."""

    files: tuple[DataFile, ...]
    definition: str

    @property
    def description(self) -> str:
        return json.loads(self.definition)["description"] or ""


def define(
    fields: Iterable[Mapping[str, Any]],
    partition: Sequence[str],
    description: str | None,
    configuration: Mapping[str, str | None],
) -> str:
    """A table's columns and settings as JSON."""
    said = {
        "type": "struct",
        "fields": list(fields),
        "partition": list(partition),
        "description": description,
        "configuration": dict(configuration),
    }
    return json.dumps(said)


def seal(definition: str, files: Iterable[DataFile]) -> str:
    """Of all that a table holds: 64 hex digits. A sum of digests, so that a change of it is known from the change."""
    return as_seal(definition_digest(definition) + sum(map(file_digest, files)))


def as_seal(total: int) -> str:
    return f"{total % 2**256:064x}"


def definition_digest(definition: str) -> int:
    told = json.loads(definition)
    told["fields"].sort(key=lambda field: str(field["name"]))  # columns that are added do not always come last
    return _digest(told)


def file_digest(file: DataFile) -> int:
    return _digest([file.path, file.size, file.rows, str(file.day), file.run_key, file.fingerprint])


def _digest(said: object) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest())


@dataclass(frozen=True, slots=True)
class _Log:
    """A table's log as it was listed. Equal ones are one: entries are never rewritten, and no two commits alike."""

    version: int
    sizes: tuple[tuple[str, int], ...]
    newest: bytes


def open_snapshot(storage: Storage, table: Table) -> Snapshot:
    """A table as it stands. Raises TornLog if an entry of its log is empty or not whole."""
    found = _read(storage, table.name, lambda log: (log.version, _state(storage, table.name, log)))
    return Snapshot(table, found[0], found[1].files, found[1].definition) if found else Snapshot(table, -1, ())


def open_state(storage: Storage, name: str) -> State | None:
    """What a table's log tells as it stands; None where there is none. Raises TornLog."""
    return _read(storage, name, lambda log: _state(storage, name, log))


def open_delta(storage: Storage, snapshot: Snapshot) -> DeltaTable:
    """deltalake's own view of a table at the snapshot's version, for one thread, if it is the snapshot's own.

    Raises DeltaError if it is gone.
    """
    name = snapshot.table.name

    def opened(_: _Log) -> DeltaTable:
        handle = _open(storage, name, snapshot.version)
        told = told_by(handle, name)
        if seal(told.definition, told.files) != seal(snapshot.definition, snapshot.files):
            raise BrokenSeal(_broken(storage, name))
        return handle

    found = _read(storage, name, opened)
    if found is None:
        raise TableNotFoundError(f"no table {name!r} any more: {storage.at(name)}")
    return found


def _read(storage: Storage, name: str, read: Callable[[_Log], T]) -> T | None:
    """What ``read`` makes of a table's log, begun again where it was shortened meanwhile; None where there is none.

    Raises TornLog.
    """
    log = _read_log(storage, name)
    while log:
        try:
            return read(log)
        except OSError:
            raise
        except BaseException as error:
            # deltalake panics, which is no Exception, and raises what Arrow and json do, where a file is not its own.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            before, log = log, _read_log(storage, name)
            if log == before:
                for damage in _damages(storage, name):
                    raise TornLog(damage) from error
                raise BrokenSeal(_broken(storage, name)) from error
    return None


def _broken(storage: Storage, name: str) -> str:
    return (
        f"the log of table {name!r} is not as it was written: {storage.at(f'{name}/_delta_log')}. "
        f"otzyv doctor --lake {storage.uri} says how to repair it"
    )


def _open(storage: Storage, name: str, version: int) -> DeltaTable:
    return DeltaTable(storage.at(name), version=version, storage_options=storage.options)


def create_table(storage: Storage, table: Table) -> Snapshot:
    """Make a table that isn't there. Of two makers at once one wins, both see the same table."""
    refused: WriteFailed | None = None
    try:
        DeltaTable.create(
            storage.at(table.name),
            table.arrow,
            mode="ignore",
            partition_by=table.partition,
            description=table.row,
            configuration=_configuration(table),
            # A second maker must fail: tried again, its entry would come after others' rows, and seal an empty table.
            commit_properties=CommitProperties({SEAL: seal(_defined(table), ())}, max_commit_retries=0),
            storage_options=storage.options,
        )
    except (OSError, DeltaError) as error:
        refused = WriteFailed(storage, table, error)
    made = open_snapshot(storage, table)
    if made.version < 0 and refused:
        raise refused
    return made


def _configuration(table: Table) -> dict[str, str | None]:
    statistics = ",".join(name for name in STATISTICS if name in table.names)
    return {"delta.dataSkippingStatsColumns": statistics} if statistics else {"delta.dataSkippingNumIndexedCols": "0"}


def _defined(table: Table) -> str:
    """A table's definition as its log will tell it once it is made."""
    fields = json.loads(Schema.from_arrow(table.arrow).to_json())["fields"]
    return define(fields, [table.partition] if table.partition else [], table.row, _configuration(table))


def log_entry(table: str, version: int) -> str:
    """The path of a version's entry in a table's log."""
    return f"{table}/_delta_log/{version:020}.json"


def read_commit(storage: Storage, table: str, version: int) -> dict[str, Any]:
    """What the commit that made a version says of itself; empty where the log no longer tells."""
    try:
        lines = storage.read(log_entry(table, version)).splitlines()
    except FileNotFoundError:
        return {}
    told: dict[str, Any] = json.loads(lines[0]).get("commitInfo", {}) if lines else {}
    return told


def published_in(storage: Storage, path: str) -> int | None:
    """The version of its table that brought a data file in, None where the log no longer tells."""
    table, _, inner = path.partition("/")
    for entry in reversed(storage.files(f"{table}/_delta_log")):
        if not (found := _ENTRY.search(entry)) or found[2] != "json":
            continue
        with suppress(ValueError, KeyError, TypeError):  # an entry that is damaged
            actions = [json.loads(line) for line in storage.read(entry).splitlines()]
            if any("add" in action and unquote(action["add"]["path"]) == inner for action in actions):
                return int(found[1])
    return None


def logged_sizes(storage: Storage, name: str, paths: Iterable[str]) -> dict[str, int]:
    """Path -> bytes of these data files of a table, of whatever version, as far as its log still tells.

    The newest entries are read first, and no more of them than are needed: a bucket answers one at a time.
    """
    found: dict[str, int] = {}
    wanted = set(paths)
    with suppress(TornLog):
        state = open_state(storage, name)
        found.update((file.path, file.size) for file in (state.files if state else ()))
    for entry in reversed(storage.files(f"{name}/_delta_log")):
        if wanted <= found.keys():
            break
        if (told := _ENTRY.search(entry)) and told[2] == "json":
            with suppress(ValueError, KeyError, TypeError, AttributeError):  # an entry that is damaged
                added = (json.loads(line).get("add") for line in storage.read(entry).splitlines())
                found.update((f"{name}/{unquote(add['path'])}", add["size"]) for add in added if add)
    return {path: size for path, size in found.items() if path in wanted}


_ENTRY = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)$")


def _read_log(storage: Storage, name: str) -> _Log | None:
    """A table's log, None where there is none. Raises TornLog.

    deltalake takes an empty entry for a version without changes, and one cut at a line's end for a whole one.
    """
    sizes = {path: size for path, size in storage.sizes(f"{name}/_delta_log").items() if _ENTRY.search(path)}
    if not sizes:
        return None
    last = max((path for path in sizes if path.endswith(".json")), default=None)
    newest = storage.read(last) if last else b""
    for version, path in _log(sizes):
        if not sizes[path] or (path == last and not _whole(newest, version)):
            raise TornLog(_torn(storage, name, path))
    return _Log(int(max(sizes).rpartition("/")[2][:20]), tuple(sorted(sizes.items())), newest)


def _damages(storage: Storage, name: str) -> Iterator[str]:
    """Why a log that deltalake can't read is none."""
    for version, _ in torn_entries(storage, name):
        yield _torn(storage, name, log_entry(name, version))
    versions = [version for version, _ in _log(storage.files(f"{name}/_delta_log"))]
    for version in sorted({*range(min(versions, default=0), max(versions, default=0))} - {*versions}):
        lacks = f"the log of table {name!r} lacks {storage.at(log_entry(name, version))}"
        yield f"{lacks}. otzyv doctor --lake {storage.uri} says how to repair it"


def _torn(storage: Storage, name: str, path: str) -> str:
    return (
        f"an entry of the log of table {name!r} is not whole: {storage.at(path)} ({storage.size(path)} bytes). "
        f"otzyv doctor --lake {storage.uri} says how to repair it"
    )


def torn_entries(storage: Storage, name: str) -> Iterator[tuple[int, bool]]:
    """Versions whose entry in a table's log is not whole, newest first, and whether no whole one comes after it."""
    newest = True
    for version, path in reversed(_log(storage.files(f"{name}/_delta_log"))):
        if _whole(storage.read(path), version):
            newest = False
        else:
            yield version, newest


def _log(files: Iterable[str]) -> list[tuple[int, str]]:
    """The entries that count among the files of a log: those after the last checkpoint, oldest first."""
    entries = [(int(found[1]), found[2], path) for path in files if (found := _ENTRY.search(path))]
    checkpoint = max((version for version, kind, _ in entries if kind != "json"), default=-1)
    return sorted((version, path) for version, kind, path in entries if kind == "json" and version > checkpoint)


def _whole(entry: bytes, version: int) -> bool:
    try:
        actions = [json.loads(line) for line in entry.splitlines()]
    except ValueError:
        return False
    if not actions:
        return False
    if version == 0:
        return {"protocol", "metaData"} <= {key for action in actions for key in action}
    told = actions[0].get("commitInfo", {}).get(ACTIONS)  # maintenance by deltalake itself does not tell
    return told is None or int(told) == len(actions) - 1


_STATES: dict[tuple[str, str], tuple[_Log, State]] = {}
"""By lake and table: a table's log and what it tells, as this process last read or wrote it."""
_LOCK = threading.Lock()


def _state(storage: Storage, name: str, log: _Log) -> State:
    """What a log tells; deltalake reads all of its entries for that, each time it opens a table. Raises BrokenSeal."""
    known = _STATES.get((storage.uri, name))
    if known and known[0] == log:
        return known[1]
    state = told_by(_open(storage, name, log.version), name)
    if seal(state.definition, state.files) != _sealed(log.newest):
        raise BrokenSeal(_broken(storage, name))
    _remember(storage, name, log, state)
    return state


def _sealed(entry: bytes) -> object:
    """The seal that a log entry bears, None where it bears none."""
    return json.loads(entry.splitlines()[0])["commitInfo"].get(SEAL) if entry else None


def told_by(handle: DeltaTable, name: str) -> State:
    """What deltalake reads in a table's log."""
    metadata = handle.metadata()
    partition = list(metadata.partition_columns)
    fields = json.loads(handle.schema().to_json())["fields"]
    definition = define(fields, partition, metadata.description, metadata.configuration)
    actions = pa.table(handle.get_add_actions(flatten=True)).to_pydict()
    keys = _constant(actions, "run_key")
    prints = _constant(actions, "fingerprint")
    days = actions.get(f"partition.{partition[0]}") if partition else None
    files = tuple(
        DataFile(f"{name}/{path}", size, rows, day, key, fingerprint)
        for path, size, rows, day, key, fingerprint in zip(
            actions["path"],
            actions["size_bytes"],
            actions["num_records"],
            days or [None] * len(actions["path"]),
            keys,
            prints,
            strict=True,
        )
    )
    return State(files, definition)


def _remember(storage: Storage, name: str, log: _Log, state: State) -> None:
    place = (storage.uri, name)
    with _LOCK:
        _STATES.pop(place, None)  # the newest goes to the end, so that the first is the one to forget
        _STATES[place] = log, state
        while len(_STATES) > TABLES_KNOWN:
            del _STATES[next(iter(_STATES))]


def committed(
    storage: Storage, before: Snapshot, name: str, removed: Iterable[DataFile], added: Iterable[DataFile]
) -> None:
    """Note what a table holds after the commit of that name, so that opening it need not read the log's entries."""
    files = after(before, removed, added)
    with suppress(OSError, TornLog):  # it is made: what else is wrong, the next to open the table will tell
        log = _read_log(storage, before.table.name)
        if log and log.version == before.version + 1 and name.encode() in log.newest:
            _remember(storage, before.table.name, log, State(files, before.definition))


def after(before: Snapshot, removed: Iterable[DataFile], added: Iterable[DataFile]) -> tuple[DataFile, ...]:
    """A table's files once these were taken out and put in."""
    gone = {file.path for file in removed}
    return (*added, *(file for file in before.files if file.path not in gone))


def _constant(actions: dict[str, list[Any]], column: str) -> list[str | None]:
    """The one value a file has in a column, from its statistics; None where there is none or more than one."""
    low, high = actions.get(f"min.{column}"), actions.get(f"max.{column}")
    if low is None or high is None:
        return [None] * len(actions["path"])
    return [a if a == b else None for a, b in zip(low, high, strict=True)]


def read_batches(
    storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str] | None = None, *, rows: int = 4096
) -> Iterator[pa.RecordBatch]:
    """The rows of data files, in their order, as batches with the table's schema (the partition column included).

    A nullable column that was added to the table after a file was written is null in it. Raises CorruptFile, naming the
    file, if one is missing, cut off, fails a checksum or lacks a column that is never null.
    """
    names = list(columns or table.names)
    schema = _schema(table, names)
    stored = [name for name in names if name != table.partition]
    for file in files:
        try:
            with storage.parquet(file.path) as parquet:
                for batch in parquet.iter_batches(batch_size=rows, columns=stored):
                    arrays = [_array(batch, field, table, file) for field in schema]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptFile(storage, file.path, error) from error


def _schema(table: Table, names: Sequence[str]) -> pa.Schema:
    whole = table.arrow
    return pa.schema([whole.field(name) for name in names])


def _array(batch: pa.RecordBatch, field: pa.Field, table: Table, file: DataFile) -> pa.Array:
    if field.name == table.partition:
        return pa.repeat(pa.scalar(file.day, field.type), batch.num_rows)
    if field.name in batch.schema.names:
        return batch.column(field.name).cast(field.type)
    if field.nullable:
        return pa.nulls(batch.num_rows, field.type)
    raise pa.ArrowInvalid(f"it has no column {field.name!r}")


def read_table(
    storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of data files as one table. For columns that are small; vectors go through ``read_batches``."""
    names = list(columns or table.names)
    schema = _schema(table, names)
    return pa.Table.from_batches(read_batches(storage, table, files, names), schema)
