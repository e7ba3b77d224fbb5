"""Prefect's server on SQLite: a transaction that writes takes the write lock when it begins. Checked with 3.8.8.

Most of Prefect's transactions read first and write later. SQLite does not let one wait that has read before another one
wrote: it fails at once with "database is locked". With tens of runs that wait for a worker, each mark of a late run,
each report of a worker and each answer to a run was such a failure for another one. One that begins with the lock
waits for its turn.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


def take_write_lock_first() -> None:
    """Let the Prefect server that this process starts begin each transaction with the lock, if it is on SQLite."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    original = AioSqliteConfiguration.begin_transaction

    def begin_with_lock(
        self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[AsyncSessionTransaction]:
        return original(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_with_lock  # type: ignore[assignment, method-assign]
