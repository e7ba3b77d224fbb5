"""An SQLite database that only its owner reads, and whose removed content is gone.

Content that is removed is overwritten with zeros in the file (`secure_delete`), and there is no write-ahead log that
could still hold it. A commit is on the disk when it returns.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elp_core.fail_points import durable_write
from elp_core.types import Seconds
from pipelines.errors import WorkspaceError
from pipelines.sqlite_transaction import sqlite_transaction

_WAIT: Seconds = 30.0
"""For another process that writes."""


@dataclass(frozen=True)
class PrivateDatabase:
    """A kind of database, and how files of it are opened."""

    about: str
    """What it is, for messages and fail points, such as ``request log``."""
    tables: str
    """Statements that make an empty one, each but the last one ended by a semicolon and a line break."""
    format: int
    repair: str
    """What to do with a damaged file, for messages."""

    @contextlib.contextmanager
    def opened(self, path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Open a file; raises WorkspaceError if it is missing (without `create`), damaged, or of a later release."""
        if create:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                # before SQLite makes it readable for the group
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT, isolation_level=None)
            ) as db:
                for setting in ("auto_vacuum = INCREMENTAL", "secure_delete = ON", "foreign_keys = ON"):
                    db.execute(f"PRAGMA {setting}")
                db.execute("PRAGMA synchronous = FULL")
                self._require_format(db, path)
                yield db
        except sqlite3.Error as error:
            raise WorkspaceError(f"the {self.about} {path} cannot be used ({error}); {self.repair}") from error

    def transaction(self, db: sqlite3.Connection) -> contextlib.AbstractContextManager[None]:
        """Commit all that the block writes, or nothing."""
        return sqlite_transaction(db, durable_write(self.about))

    def _require_format(self, db: sqlite3.Connection, path: Path) -> None:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            with self.transaction(db):
                # read again inside the transaction: another process may have made the tables at this moment
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in self.tables.split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {self.format}")
        elif found != self.format:
            raise WorkspaceError(
                f"{path} is of format {found}, this release reads {self.format}; update elp on this host"
            )
