"""The index of the workspace and the records that the audit's questions are asked of."""

from __future__ import annotations

from collections.abc import Iterator
from sqlite3 import Connection

import pytest

from pipelines.audit.answers import index_of
from tests.support.audited import Ground


@pytest.fixture
def index(ground: Ground) -> Iterator[Connection]:
    """Up to date."""
    with index_of(ground.workspace, ground.records, lambda line: None) as db:
        yield db
