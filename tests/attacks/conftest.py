"""The ground that is attacked: a server for each database, and a slot compared before and after each attack."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contest import Contest, prepare
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.postgres import Postgres, postgres_server

_numbers = itertools.count(1)
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every attack runs against the real server."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for all attacks."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """The guarded command line on each database."""
    folder = tmp_path_factory.mktemp(f"guarded-{request.param}")
    database = None if request.param == "sqlite" else request.getfixturevalue("postgres").database(folder.name)
    with guarded_server(folder, database) as running:
        yield running


@pytest.fixture(scope="session")
def _shared(server: GuardedServer) -> list[Contest]:
    """The slot in use; an attack that got through spoils it, and the next one gets another."""
    return []


@pytest.fixture
def contest(server: GuardedServer, _shared: list[Contest]) -> Iterator[Contest]:
    """A slot that must stand after the attack as it stood before: aliases, tags, descriptions, bytes."""
    if not _shared:
        _shared.append(prepare(server, f"plant-{next(_numbers)}"))
    ground = _shared.pop()
    ground.begin()
    yield ground
    moved = ground.moved()
    assert not moved, f"the attack got through: {moved}"
    _shared.append(ground)


@pytest.fixture
def own_contest(server: GuardedServer) -> Contest:
    """A slot of the test's own, where the attack begins with a rightful change."""
    return prepare(server, f"plant-{next(_numbers)}")
