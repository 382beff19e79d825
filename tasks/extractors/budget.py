"""What a run pays for: a budget that is never passed, and answers kept until they are published.

A run has one ``Spending``, whatever it makes; each table and day of it has an ``Account``. Extractors that pay find
the account they pay from by ``account()``.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import numpy as np


class Journal(Protocol):
    """Vectors that were paid for, by the sha256 of what they were made from."""

    def find(self, keys: Sequence[str]) -> Mapping[str, np.ndarray]: ...

    def keep(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (n, dim) float32; once it returns they outlive a crash."""


class Spending:
    """What one run has paid and may still be asked to pay. Threads may share it.

    ``limit``: what the run may spend at most, whatever budgets say; ``spent``: what was paid of both before it began.
    """

    def __init__(self, limit: Decimal | None = None, spent: Decimal = Decimal(0)) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._reserved = spent
        self._accounts: dict[Hashable, Account] = {}

    def reserve(self, money: Decimal, budget: Decimal) -> bool:
        """Set money aside before it can be asked for; False, and nothing set aside, where the budget would be passed.

        It stays set aside until ``release`` says otherwise: a request that got no answer may have been charged.
        """
        with self._lock:
            if self._reserved + money > (budget if self._limit is None else min(budget, self._limit)):
                return False
            self._reserved += money
            return True

    def release(self, money: Decimal) -> None:
        """Give back what was set aside and is not asked for; a negative amount was asked for beyond it."""
        with self._lock:
            self._reserved -= money

    def account(self, name: Hashable) -> Account:
        """The account of that name: the same when a table is tried again."""
        with self._lock:
            return self._accounts.setdefault(name, Account(self))


@dataclass(slots=True)
class Account:
    """What was paid for one table and day. ``money``: what answers asked; ``seconds``: how long each one took."""

    spending: Spending
    journal: Journal | None = None
    money: Decimal = Decimal(0)
    seconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the answers took at most; None without answers."""
        return float(np.quantile(self.seconds, share)) if self.seconds else None


_SPENDING: ContextVar[Spending | None] = ContextVar("spending", default=None)
_ACCOUNT: ContextVar[Account | None] = ContextVar("account", default=None)


@contextmanager
def spending(limit: Decimal | None = None, spent: Decimal = Decimal(0)) -> Iterator[Spending]:
    """One run: whatever is paid inside counts against one budget. Inside of another such block it is that one's."""
    opened = _SPENDING.get() or Spending(limit, spent)
    token = _SPENDING.set(opened)
    try:
        yield opened
    finally:
        _SPENDING.reset(token)


@contextmanager
def charged(name: Hashable, journal: Journal | None = None) -> Iterator[Account]:
    """What is paid inside goes on the account of that name, and answers into the journal."""
    with spending() as run:
        opened = run.account(name)
        opened.journal = journal
        token = _ACCOUNT.set(opened)
        try:
            yield opened
        finally:
            _ACCOUNT.reset(token)


def account() -> Account | None:
    """The account to pay from; None where nobody has opened one."""
    return _ACCOUNT.get()
