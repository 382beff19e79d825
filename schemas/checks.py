"""Whether rows keep the promises of their table: the only module that knows Great Expectations.

Great Expectations sees numbers and label names (``schemas.derived``), never a vector, a text or a key; a report holds
keys, names and counts, never a value. Its Data Docs are not used. Importing it takes seconds: that happens in the first
``check`` of a process.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas import derived
from otzyv.schemas.report import CheckResult, FailedCheck, Key, Kind, Report
from otzyv.schemas.table import Column, Table

UNIT_TOLERANCE = 1e-3
"""How far from 1 the norm of a unit vector may lie: bfloat16 keeps 8 bits, and the errors of many parts average out."""
ROWS_AT_ONCE = 8192
GATHERED_BYTES = 2**20
"""Batches are looked at together up to so many bytes: looking takes its time however few rows there are."""
KEYS_NAMED = 20
"""A failed table check names so many keys as examples; a row check names all."""
ONE_PER_DAY = ("fingerprint", "run_key")
"""Where a table requires all of these, each has a single value in a day."""
OTHER = "(another value)"
"""Stands for every value outside a label set, so that the value itself goes nowhere."""
NAME_ROWS = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["row"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}

_LOG = logging.getLogger(__name__)
_LOCK = threading.Lock()


def check(
    table: Table,
    rows: pa.Table | Iterable[pa.RecordBatch],
    *,
    expected: pa.Table | Iterable[Key] | None = None,
    allow_empty: bool = False,
) -> Report:
    """Check rows against their table, batch by batch; safe to call from several threads.

    ``expected``: the keys of which there must be one row each, as a table of the key columns or as tuples; None checks
    only that keys are unique. Zero rows fail unless ``allow_empty``. A failed row check (of a value column or the
    status; of any column where a table has no value columns) can be mended by making the row invalid, a failed table
    check can't. A check that raises has failed.

    Rows of several days are checked at once where the day is among the table's keys (``Table.of_days``).
    """
    wanted = None if expected is None else _keys(table, expected)
    frame: dict[tuple[str, str], list[Any]] = {}
    keys: list[pa.RecordBatch] = []
    for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE) if isinstance(rows, pa.Table) else _gathered(rows):
        wrong = _misfits(table, batch.schema)
        if wrong:
            failed = tuple(FailedCheck("schema", name, "table", batch.num_rows) for name in wrong)
            return Report(table.name, batch.num_rows, tuple(_result(f) for f in failed), failed)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = batch.slice(start, ROWS_AT_ONCE)
            # copied, since a slice of a batch may hold all of its memory
            keys.append(part.select(table.keys).take(np.arange(part.num_rows)))
            for fact, numbers in derived.facts(table, part).items():
                frame.setdefault(fact, []).append(numbers)
            for name in _one_per_day(table):
                frame.setdefault((name, "constant"), []).append(_of_its_day(table, part, name).dictionary_encode())
    if not keys:
        return _no_rows(table, wanted, allow_empty)
    return _judge(table, pa.Table.from_batches(keys).cast(_key_schema(table)), frame, wanted)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in larger batches where they come in many small ones, as those of many days do."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        size += batch.nbytes
        if held and (size > GATHERED_BYTES or batch.schema != held[0].schema):
            yield pa.concat_batches(held)
            held, size = [], batch.nbytes
        if size > GATHERED_BYTES:
            yield batch
            size = 0
        else:
            held.append(batch)
    if held:
        yield pa.concat_batches(held)


def _misfits(table: Table, schema: pa.Schema) -> list[str]:
    """Columns that are missing, extra or of another type, whatever the order and the null flags."""
    given = {field.name: field.type for field in schema}
    asked = {column.name: column.type for column in table.columns}
    return [n for n in {**asked, **given} if n not in given or n not in asked or not _same(given[n], asked[n])]


def _same(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether types are equal but for the nullability and names of list items: Parquet and Delta change those."""
    if pa.types.is_list(one) and pa.types.is_list(other):
        return _same(one.value_type, other.value_type)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return [f.name for f in one] == [f.name for f in other] and all(
            _same(a.type, b.type) for a, b in zip(one, other, strict=True)
        )
    return bool(one == other)


def _key_schema(table: Table) -> pa.Schema:
    """The key columns as fields that may be null: a null key is a finding of the checks, not an error of theirs."""
    return pa.schema([(name, table.column(name).type) for name in table.keys])


def _keys(table: Table, expected: pa.Table | Iterable[Key]) -> pa.Table:
    """Distinct expected keys with the table's own names and types."""
    schema = _key_schema(table)
    if not isinstance(expected, pa.Table):
        parts = list(zip(*expected, strict=True)) or [()] * len(schema)
        expected = pa.table([pa.array(part, field.type) for part, field in zip(parts, schema, strict=True)], schema)
    keys = expected.select(table.keys).cast(schema)
    return keys.group_by(list(table.keys)).aggregate([])


def _one_per_day(table: Table) -> tuple[str, ...]:
    lineage = {column.name for column in table.columns if column.required} & set(ONE_PER_DAY)
    return ONE_PER_DAY if lineage == set(ONE_PER_DAY) else ()


def _of_its_day(table: Table, rows: pa.RecordBatch, name: str) -> pa.Array:
    """A column of which each day has one value; where rows of several days come together, with its day."""
    values = rows.column(name)
    if table.partition not in table.keys:
        return values
    return pc.binary_join_element_wise(rows.column(table.partition).cast(pa.string()), values, " ")


def _no_rows(table: Table, wanted: pa.Table | None, allow_empty: bool) -> Report:
    """Great Expectations finds no fault with zero rows, so they are judged here."""
    failed = [] if allow_empty else [FailedCheck("not_empty", "", "table", 0)]
    if wanted is not None and wanted.num_rows:
        failed.append(
            FailedCheck("missing", _joined(table), "table", wanted.num_rows, _named(wanted, slice(KEYS_NAMED)))
        )
    return Report(table.name, 0, tuple(_result(f) for f in failed), tuple(failed))


def _result(failed: FailedCheck) -> CheckResult:
    return CheckResult(failed.name, failed.column, False, failed.rows)


def _joined(table: Table) -> str:
    return ", ".join(table.keys)


def _named(keys: pa.Table, which: Any) -> tuple[Key, ...]:
    chosen = keys.take(np.arange(keys.num_rows)[which])
    return tuple(zip(*(column.to_pylist() for column in chosen.columns), strict=True))


@dataclass(frozen=True, slots=True)
class Planned:
    """A check before it is run: an expectation over the flat frame. ``sought`` is the figure an aggregate must have."""

    name: str
    column: str
    kind: Kind
    expectation: Any
    sought: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Great Expectations said: ``rows`` are the row numbers a check objects to, where it speaks of rows."""

    success: bool
    unexpected: int = 0
    rows: tuple[int, ...] = ()
    raised: bool = False


def _judge(table: Table, keys: pa.Table, found: dict[tuple[str, str], list[Any]], wanted: pa.Table | None) -> Report:
    frame, missing = _frame(table, keys, found, wanted)
    with _LOCK:
        planned = _plan(table, _alike(frame), wanted, _days(table, keys))
        outcomes = run(frame, planned)
    checks, failed = [], []
    for plan, outcome in zip(planned, outcomes, strict=True):
        checks.append(CheckResult(plan.name, plan.column, outcome.success, outcome.unexpected))
        if outcome.success:
            continue
        kind: Kind = "table" if outcome.raised else plan.kind
        if plan.name == "missing" and wanted is not None:
            named = _named(wanted, missing[:KEYS_NAMED])
        else:
            named = _named(keys, list(outcome.rows if kind == "row" else outcome.rows[:KEYS_NAMED]))
        failed.append(FailedCheck(plan.name, plan.column, kind, outcome.unexpected, named))
    return Report(table.name, keys.num_rows, tuple(checks), tuple(failed))


def _days(table: Table, keys: pa.Table) -> int:
    """Of how many days there are rows."""
    return len(keys[table.partition].unique()) if table.partition in table.keys else 1


def _frame(
    table: Table, keys: pa.Table, found: dict[tuple[str, str], list[Any]], wanted: pa.Table | None
) -> tuple[Any, np.ndarray[Any, Any]]:
    """The flat pandas frame that is judged, and the places of the expected keys that have no row."""
    import pandas as pd

    columns: dict[str, Any] = {"row": np.arange(keys.num_rows, dtype=np.int32)}
    both = keys if wanted is None else pa.concat_tables([keys, wanted])
    numbers = derived.key_numbers(both)
    columns["key.unique"] = numbers[: keys.num_rows]
    missing = np.zeros(0, np.int64)
    if wanted is not None:
        sought = numbers[keys.num_rows :]
        known = np.isin(columns["key.unique"], sought)
        columns["key.unexpected"] = known.astype(np.int8)
        columns["key.missing"] = np.where(known, columns["key.unique"], np.nan)
        missing = np.flatnonzero(~np.isin(sought, columns["key.unique"]))
    for (name, rule), parts in found.items():
        fact = f"{name}.{rule}"
        if rule == "constant":
            columns[fact] = derived.value_numbers(parts)
        elif rule == "label":
            labels = [*(table.column(name).labels or ()), OTHER]
            columns[fact] = pd.Categorical.from_codes(np.concatenate(parts), dtype=pd.CategoricalDtype(labels))
        else:
            columns[fact] = np.concatenate(parts)
        parts.clear()
    return pd.DataFrame(columns, copy=False), missing


def _alike(frame: Any) -> dict[str, str]:
    """Each fact that is yes or no -> the first that says the same of all rows: most say yes of all."""
    first: dict[bytes, str] = {}
    flags = frame.select_dtypes(np.int8)
    return {name: first.setdefault(flags[name].to_numpy().tobytes(), name) for name in flags}


def _plan(table: Table, alike: Mapping[str, str], wanted: pa.Table | None, days: int) -> list[Planned]:
    """The checks of a table. Those of facts that are alike share an expectation, which is then judged once."""
    gxe = _library().expectations
    flags = {fact: gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=[1]) for fact in set(alike.values())}
    keys = _joined(table)
    plan = [Planned("unique", keys, "table", gxe.ExpectColumnValuesToBeUnique(column="key.unique"))]
    if wanted is not None:
        count = wanted.num_rows
        plan += [
            Planned("row_count", "", "table", gxe.ExpectTableRowCountToEqual(value=count), count),
            Planned("unexpected", keys, "table", flags[alike["key.unexpected"]]),
            Planned("missing", keys, "table", _distinct(gxe, "key.missing", count), count),
        ]
    plan += [
        Planned("constant", name, "table", _distinct(gxe, f"{name}.constant", days), days)
        for name in _one_per_day(table)
    ]
    for column in table.columns:
        for rule in derived.rules(column):
            fact = f"{column.name}.{rule}"
            judged = flags[alike[fact]] if fact in alike else _expectation(gxe, column, rule, fact)
            plan.append(Planned(rule, column.name, _kind(table, column, rule), judged))
    return plan


def _kind(table: Table, column: Column, rule: str) -> Kind:
    """A row check is one whose row can be kept as ``invalid``: its values are to blame, not its keys or lineage."""
    mendable = column.value or column.name == "status" or not table.values
    return "row" if mendable and rule != "required" else "table"


def _distinct(gxe: Any, fact: str, count: int) -> Any:
    return gxe.ExpectColumnUniqueValueCountToBeBetween(column=fact, min_value=count, max_value=count)


def _expectation(gxe: Any, column: Column, rule: str, fact: str) -> Any:
    if rule == "label":
        return gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=list(column.labels or ()))
    if rule == "dim":
        return gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=[column.dim])
    if rule == "unit":
        return gxe.ExpectColumnValuesToBeBetween(
            column=fact, min_value=1 - UNIT_TOLERANCE, max_value=1 + UNIT_TOLERANCE
        )
    if rule == "range":
        low, high = _bound(column, column.low), _bound(column, column.high)
        return gxe.ExpectColumnValuesToBeBetween(column=fact, min_value=low, max_value=high)
    raise ValueError(f"{rule!r} is neither judged by its numbers nor a flag (int8)")


def _bound(column: Column, bound: float | None) -> float | None:
    """The bound as the column's type holds it: 1.0001 is a little more in float32."""
    if bound is None:
        return None
    return float(pa.scalar(bound, column.type).as_py()) if pa.types.is_floating(column.type) else float(bound)


def run(frame: Any, planned: Sequence[Planned]) -> list[Outcome]:
    """Judge a pandas frame with a column ``row`` of row numbers; an outcome per planned check, in their order.

    Verdicts first, then the row numbers of what failed only: naming rows costs several times as much. An expectation
    that several checks share is judged once.
    """
    batch = _frames().get_batch(batch_parameters={"dataframe": frame})
    judged = list({id(plan.expectation): plan for plan in planned}.values())
    outcomes = _validate(batch, judged, "BOOLEAN_ONLY")
    again = [i for i, outcome in enumerate(outcomes) if not outcome.success and not outcome.raised]
    for i, named in zip(again, _validate(batch, [judged[i] for i in again], NAME_ROWS), strict=True):
        outcomes[i] = Outcome(False, raised=True) if named.success else named
    known = {id(plan.expectation): outcome for plan, outcome in zip(judged, outcomes, strict=True)}
    return [known[id(plan.expectation)] for plan in planned]


def _validate(batch: Any, planned: Sequence[Planned], result_format: Any) -> list[Outcome]:
    if not planned:
        return []
    for i, plan in enumerate(planned):
        plan.expectation.meta = {"check": i}
    suite = _library().ExpectationSuite("checks", expectations=[plan.expectation for plan in planned])
    try:
        with _configured_once():
            found = batch.validate(suite, result_format=result_format)
        results = {r.expectation_config.meta["check"]: r for r in found.results}
    except Exception as error:
        if len(planned) > 1:  # one that breaks the whole suite must not hide the others' verdicts
            return [_validate(batch, [plan], result_format)[0] for plan in planned]
        _LOG.error("check %s of %r raised %s", planned[0].name, planned[0].column, type(error).__name__)
        results = {}
    return [_outcome(plan, results.get(i)) for i, plan in enumerate(planned)]


@contextmanager
def _configured_once() -> Iterator[None]:
    """Within it each expectation builds its configuration once; the library asks for it some forty times.

    That is a third and more of what the checks of a small day cost. Only one thread is ever in here.
    """
    from great_expectations.expectations.expectation import Expectation

    built = Expectation.configuration
    known: dict[int, tuple[Any, Any]] = {}

    def configuration(expectation: Any) -> Any:
        if id(expectation) not in known:  # kept beside it, or another expectation could get its id
            known[id(expectation)] = expectation, built.fget(expectation)
        return known[id(expectation)][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = built


def _outcome(plan: Planned, result: Any) -> Outcome:
    if result is None:
        return Outcome(False, raised=True)
    raised = _raised(result.exception_info)
    if raised:
        _LOG.error("check %s of %r raised: %s", plan.name, plan.column, raised)
        return Outcome(False, raised=True)
    found = result.result
    if result.success or not found:
        return Outcome(bool(result.success))
    if plan.sought is not None:
        return Outcome(False, abs(int(found["observed_value"]) - plan.sought))
    rows = tuple(int(row) for group in found.get("unexpected_index_list", ()) for row in group["row"])
    # with a row left unnamed, not all invalid rows could be mended: then the check as a whole counts as broken
    return Outcome(False, len(rows), rows, raised=len(rows) != found.get("unexpected_count"))


def _raised(info: Any) -> str | None:
    """The message of what a check raised: Great Expectations tells of it in one record or in one per metric."""
    records = [info, *info.values()] if info else []
    raised = [r for r in records if isinstance(r, dict) and r.get("raised_exception")]
    return str(raised[0].get("exception_message")) if raised else None


@functools.cache
def _library() -> Any:
    """Great Expectations, without its usage statistics, and without its deprecation warnings and chatter on import."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations
        import great_expectations.expectations
    return great_expectations


@functools.cache
def _frames() -> Any:
    """What takes frames in, made once per process: in memory, without files, folders for Data Docs or progress bars.

    It holds on to the last frame only; making it again for each check would cost half as much again.
    """
    library = _library()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    source = library.get_context(project_config=config, mode="ephemeral").data_sources.add_pandas("frames")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
