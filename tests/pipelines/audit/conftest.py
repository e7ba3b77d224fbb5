"""What the audit's questions are asked of: records in memory with their index, and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from sqlite3 import Connection

import pytest

from pipelines.audit.data_index import open_index
from tests.support.audited import Ground
from tests.support.environment import lasting
from tests.support.real_registry import Real, put_right, real_registry


@pytest.fixture
def index(ground: Ground) -> Iterator[Connection]:
    """The index of the workspace, up to date."""
    with open_index(ground.workspace, lambda line: None) as db:
        yield db


@pytest.fixture(scope="session")
def _real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with real_registry(tmp_path_factory.mktemp("real")) as made:
        lasting(ELP_KEYS=str(made.server.keys), ELP_LEDGER_CHECKPOINT=str(made.server.anchor))
        yield made


@pytest.fixture
def real(_real_server: Real) -> Iterator[Real]:
    """A real registry, put right again after each test."""
    with put_right(_real_server):
        yield _real_server
