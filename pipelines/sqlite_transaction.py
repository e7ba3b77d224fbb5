"""A transaction of an SQLite database that was opened with `isolation_level=None`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


@contextlib.contextmanager
def sqlite_transaction(
    db: sqlite3.Connection, commit: contextlib.AbstractContextManager[None] | None = None
) -> Iterator[None]:
    """Commit all that the block writes, or nothing; one writer at a time. `commit` encloses the commit alone."""
    # IMMEDIATE takes the lock of the writer now: two processes that read first could both fail to write later
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    with commit or contextlib.nullcontext():
        db.execute("COMMIT")
