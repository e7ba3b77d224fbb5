"""Prefect's server on SQLite: a transaction that writes waits for its turn, and an open web socket is no request.

Checked with 3.8.8.

Most of Prefect's transactions read first and write later. SQLite does not let one wait that has read before another one
wrote: it fails at once with "database is locked". With tens of runs that wait for a worker, each mark of a late run,
each report of a worker and each answer to a run was such a failure for another one. One that begins with the write lock
can wait; and since SQLite only looks now and then whether the lock is free, the transactions of the server stand in
line for it.

On SQLite the server works on 100 requests at a time, and counts the web sockets that each run and each worker keeps
open. With as many runs in progress, no request was answered any more, that which ends a run included.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from elp_core.types import Seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_PATIENCE: Seconds = 30.0
"""How long a transaction stands in line before it asks SQLite, which lets it wait for another minute."""
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_inside: WeakSet[asyncio.Task[Any]] = WeakSet()
"""The tasks that are within a transaction: another one of theirs must not wait for the first."""


def wait_in_line() -> None:
    """Let the transactions of the Prefect server that this process starts do so, if it is on SQLite."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    original = AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def begin_in_line(
        self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        task = asyncio.current_task()
        if task is None or task in _inside:
            async with original(self, session, with_for_update) as transaction:
                yield transaction
            return
        line = _lines.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        held = await _is_first(line)
        _inside.add(task)
        try:
            async with original(self, session, with_for_update=True) as transaction:
                yield transaction
        finally:
            _inside.discard(task)
            if held:
                line.release()

    AioSqliteConfiguration.begin_transaction = begin_in_line  # type: ignore[method-assign]


def limit_requests_only() -> None:
    """Let the Prefect server that this process starts count requests alone towards its limit."""
    from prefect.server.api.server import RequestLimitMiddleware

    original = RequestLimitMiddleware.__call__

    async def limited(self: RequestLimitMiddleware, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await original(self, scope, receive, send)

    RequestLimitMiddleware.__call__ = limited  # type: ignore[method-assign]


async def _is_first(line: asyncio.Lock) -> bool:
    try:
        # not wait_for: it may take the lock for a task that is cancelled at this moment, and nobody would release it
        async with asyncio.timeout(_PATIENCE):
            await line.acquire()
    except TimeoutError:
        return False
    return True
