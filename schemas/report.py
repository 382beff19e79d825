"""What checking a table found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Key = tuple[Any, ...]
"""The values of a table's key columns, in the table's order."""
Kind = Literal["row", "table"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one column (several: joined by a comma; none: ``""``) and how many rows it objects to."""

    name: str
    column: str
    success: bool
    unexpected: int


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check that failed. A ``row`` check names every row's key; a ``table`` check a few, where keys are at fault.

    ``rows`` is 0 where the check itself broke down, which counts as failed.
    """

    name: str
    column: str
    kind: Kind
    rows: int
    keys: tuple[Key, ...] = ()

    @property
    def rule(self) -> str:
        """The check in one word, e.g. ``embedding.unit``."""
        return ".".join(filter(None, (self.column, self.name)))


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks found of one table. Values of the data are not in here."""

    table: str
    rows: int
    checks: tuple[CheckResult, ...]
    failed: tuple[FailedCheck, ...]

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def passed(self) -> int:
        return sum(check.success for check in self.checks)

    @property
    def fatal(self) -> tuple[FailedCheck, ...]:
        """The failed table checks: with any of these nothing may be published."""
        return tuple(check for check in self.failed if check.kind == "table")

    @property
    def invalid_keys(self) -> dict[Key, str]:
        """The keys of rows that failed a row check, each with the first rule it broke."""
        return {key: check.rule for check in reversed(self.failed) if check.kind == "row" for key in check.keys}
