"""Changes of Prefect's SQLite database that come at once are all made, whatever they read first."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.server.database import PrefectDBInterface
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.orm_models import AioSqliteORMConfiguration
from prefect.server.database.query_components import AioSqliteQueryComponents
from sqlalchemy.exc import OperationalError

from otzyv.flows.server.sqlite import WritersInTurn

WRITERS, TURNS = 8, 20


async def counted(config: type[AioSqliteConfiguration], database: Path) -> tuple[int, int]:
    """What a counter reads after all have added one to it again and again, and how often they were refused."""
    db = PrefectDBInterface(
        database_config=config(connection_url=f"sqlite+aiosqlite:///{database}"),
        query_components=AioSqliteQueryComponents(),
        orm=AioSqliteORMConfiguration(),
    )
    async with db.session_context(begin_transaction=True) as session:
        await session.execute(sa.text("CREATE TABLE counter (n INTEGER)"))
        await session.execute(sa.text("INSERT INTO counter VALUES (0)"))
    refused = 0

    async def count() -> None:
        nonlocal refused
        for _ in range(TURNS):
            try:
                async with db.session_context(begin_transaction=True) as session:
                    known = (await session.execute(sa.text("SELECT n FROM counter"))).scalar_one()
                    async with db.session_context() as beside:
                        assert (await beside.execute(sa.text("SELECT n FROM counter"))).scalar_one() >= known
                    await session.execute(sa.text("UPDATE counter SET n = :n"), {"n": known + 1})
            except OperationalError:
                refused += 1

    await asyncio.gather(*(count() for _ in range(WRITERS)))
    async with db.session_context() as session:
        made = (await session.execute(sa.text("SELECT n FROM counter"))).scalar_one()
    await (await db.engine()).dispose()
    return made, refused


@pytest.mark.parametrize(("config", "all_made"), [(WritersInTurn, True), (AioSqliteConfiguration, False)])
def test_no_change_is_refused_for_another_one(
    config: type[AioSqliteConfiguration], all_made: bool, tmp_path: Path, prefect_database: Path
) -> None:
    """Prefect's own refuses some, else there is nothing to mend here."""
    shutil.copy(prefect_database, tmp_path / "prefect.db")
    made, refused = asyncio.run(counted(config, tmp_path / "prefect.db"))
    assert made + refused == WRITERS * TURNS
    assert (refused == 0) is all_made
