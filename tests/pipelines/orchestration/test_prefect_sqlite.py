"""Two transactions of Prefect's server on SQLite at the same time, both of which read first and then write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from pipelines.orchestration.prefect_sqlite import limit_requests_only, wait_in_line

READ, WRITE = sa.text("SELECT count(*) FROM marks"), sa.text("INSERT INTO marks VALUES (1)")


async def _two_marks(database: Path) -> int:
    """Let two transactions read before either writes, if that is possible; return the rows of both."""
    configuration = AioSqliteConfiguration(f"sqlite+aiosqlite:///{database}")
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE marks (value INTEGER)"))
    first_has_read = asyncio.Event()

    async def mark(wait: float) -> None:
        session = await configuration.session(engine)
        async with session, configuration.begin_transaction(session):
            await session.execute(READ)
            first_has_read.set()
            # the other one reads, or waits for its turn
            await asyncio.sleep(wait)
            await session.execute(WRITE)

    async def second() -> None:
        await first_has_read.wait()
        await mark(0)

    await asyncio.gather(mark(0.3), second())
    session = await configuration.session(engine)
    async with session:
        found = (await session.execute(READ)).scalar_one()
    await engine.dispose()
    return int(found)


def test_a_transaction_that_has_read_waits_and_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    # Prefect alone: if it waits too, this module is not needed any more
    with pytest.raises(OperationalError, match="database is locked"):
        asyncio.run(_two_marks(tmp_path / "alone.db"))
    wait_in_line()
    assert asyncio.run(_two_marks(tmp_path / "prefect.db")) == 2


def test_a_transaction_within_one_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    wait_in_line()
    configuration = AioSqliteConfiguration(f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}")

    async def one_in_another() -> int:
        engine = await configuration.engine()
        async with engine.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE marks (value INTEGER)"))
        outer, inner = await configuration.session(engine), await configuration.session(engine)
        async with outer, configuration.begin_transaction(outer):
            await outer.execute(WRITE)
            async with inner, configuration.begin_transaction(inner):
                seen = (await inner.execute(READ)).scalar_one()
        await engine.dispose()
        return int(seen)

    assert asyncio.run(asyncio.wait_for(one_in_another(), 20)) == 0


def test_requests_that_end_while_they_stand_in_line_leave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    wait_in_line()
    configuration = AioSqliteConfiguration(f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}")

    async def hold(engine: AsyncEngine, seconds: float) -> None:
        session = await configuration.session(engine)
        async with session, configuration.begin_transaction(session):
            await asyncio.sleep(seconds)

    async def ended_in_line() -> None:
        engine = await configuration.engine()
        first = asyncio.create_task(hold(engine, 0.2))
        waiting = [asyncio.create_task(hold(engine, 0.0)) for _ in range(20)]
        await asyncio.sleep(0.05)
        for number, request in enumerate(waiting):
            # some of them in the moment in which the first one lets the next one in
            asyncio.get_running_loop().call_later(0.01 * number, request.cancel)
        await first
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.wait_for(hold(engine, 0.0), 5)
        await engine.dispose()

    asyncio.run(ended_in_line())


def test_a_request_is_answered_while_web_sockets_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    # this imports the whole server
    from prefect.server.api.server import RequestLimitMiddleware

    monkeypatch.setattr(RequestLimitMiddleware, "__call__", RequestLimitMiddleware.__call__)
    answered: list[str] = []

    async def server(scope: dict[str, str], receive: object, send: object) -> None:
        if scope["type"] == "websocket":
            await asyncio.sleep(60)
        answered.append(scope["type"])

    async def ask_beside_a_socket() -> None:
        limited = RequestLimitMiddleware(server, limit=1)
        socket = asyncio.create_task(limited({"type": "websocket"}, None, None))
        await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(limited({"type": "http"}, None, None), 0.5)
        finally:
            socket.cancel()

    # Prefect alone: if it answers, `limit_requests_only` is not needed any more
    with pytest.raises(TimeoutError):
        asyncio.run(ask_beside_a_socket())
    limit_requests_only()
    asyncio.run(ask_beside_a_socket())
    assert answered == ["http"]
