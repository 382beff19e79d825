"""Prefect's server on SQLite, where several ask at once to change what it knows.

Prefect 3.8.8 begins most of its changes as if it would only read, and asks for the right to write after it has read.
SQLite refuses that at once if anybody has written meanwhile, and does so again and again on a busy machine: the server
answers 503 until its clients give up after a minute, and workers call runs crashed that were never begun. Read there:
``AioSqliteConfiguration`` of prefect/server/database/configurations.py.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.server.utilities.database import get_dialect
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class WritersInTurn(AioSqliteConfiguration):
    """A database whose changes wait for each other before they read."""

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        if SQLITE_BEGIN_MODE.get() is not None:  # within another change, whose turn it is
            async with super().begin_transaction(session, with_for_update) as transaction:
                yield transaction
            return
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            await session.connection()
            # It has begun: what is read within it by a session of its own must not wait for it.
            mode = SQLITE_BEGIN_MODE.set("DEFERRED")
            try:
                yield transaction
            finally:
                SQLITE_BEGIN_MODE.reset(mode)


def let_writers_wait() -> None:
    """In this process, which is Prefect's server; nothing changes where its database is another one than SQLite."""
    address = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if get_dialect(address).name == "sqlite":
        MODELS_DEPENDENCIES["database_config"] = WritersInTurn(connection_url=address)
