"""The audit's index of the workspace's data: one SQLite file in the cache. No verification trusts it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.audit.data_index import update_index
from pipelines.local.workspace import Workspace

FORMAT = 2
"""Format of the tables below. Format 1 held the server's records, too. A file of another format is built again."""
FILE = Path("cache") / "audit.db"
"""Below the workspace's state folder."""
_WAIT_SECONDS = 60.0

_TABLES = """
CREATE TABLE release (           -- a dataset version or a golden set, as Git tags it
    slot TEXT, kind TEXT,        -- data | golden
    version INTEGER, tag TEXT, revision TEXT, golden TEXT, hash TEXT, created TEXT,
    PRIMARY KEY (slot, kind, version)) WITHOUT ROWID;
CREATE UNIQUE INDEX release_tag ON release (tag);
CREATE TABLE file (id INTEGER PRIMARY KEY, md5 TEXT UNIQUE, name TEXT, bytes INTEGER);
CREATE TABLE span (              -- versions first to last hold the file in this folder
    slot TEXT, folder TEXT,      -- shards, quarantine (by dataset version) | golden (by golden set)
    file INTEGER, first INTEGER, last INTEGER);
CREATE INDEX span_file ON span (file);
CREATE INDEX span_slot ON span (slot, folder, last);
CREATE TABLE clip (file INTEGER, id BLOB, speaker TEXT, split TEXT, seconds REAL);
CREATE INDEX clip_id ON clip (id);
CREATE INDEX clip_speaker ON clip (speaker);
CREATE INDEX clip_file ON clip (file);
CREATE TABLE gap (tag TEXT, folder TEXT, reason TEXT, PRIMARY KEY (tag, folder)) WITHOUT ROWID;
CREATE TABLE used (              -- digest of the clips that training on a dataset version uses
    tag TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
"""


@contextlib.contextmanager
def open_index(workspace: Workspace, log: Callable[[str], None]) -> Iterator[sqlite3.Connection]:
    """Open the workspace's index, up to date with Git and the DVC remote.

    Raises:
        VersioningError: The workspace is not a Git and DVC repository.
    """
    with opened(workspace.state) as db:
        with transaction(db):
            update_index(db, workspace, log)
        yield db


@contextlib.contextmanager
def opened(state: Path) -> Iterator[sqlite3.Connection]:
    """Open the index below a workspace's state folder; create it if it is missing or of another format."""
    path = state / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        with transaction(db):
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                _create(db)
        yield db
    finally:
        db.close()


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit all that the block writes, or nothing; one writer at a time."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _create(db: sqlite3.Connection) -> None:
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        db.execute(f"DROP TABLE {name}")
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {FORMAT}")
