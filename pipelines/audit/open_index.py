"""The index brought up to date and opened for questions."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

from pipelines.audit import data_index as data
from pipelines.audit import server_index as registry
from pipelines.audit.index_file import opened, transaction
from pipelines.audit.server_index import Records
from pipelines.local.workspace import Workspace

Log = Callable[[str], None]


@contextlib.contextmanager
def index_of(workspace: Workspace, records: Records, log: Log) -> Iterator[sqlite3.Connection]:
    """The workspace's index, up to date with Git and the server.

    Raises:
        ServiceError: where the server does not answer.
        VersioningError: where the workspace is no Git and DVC repository.
    """
    with opened(workspace.state) as db:
        # the server first: where it is gone, that is said before thousands of files are read
        with transaction(db):
            registry.sync(db, records, log)
        with transaction(db):
            data.sync(db, workspace, log)
            data.note_used(db)
        yield db
