"""What is attacked: a guarded server, and a slot whose state is compared before and after each attack.

Attacks run on SQLite. Those marked `both_databases` run on PostgreSQL too: races, what an attacker writes into the
database itself, and one attack on each route. Those marked `both_stores` run on SQLite with artifacts on S3, too. With
`slow=True` the second run of a test is one of `make test-all` only: another test has shown the same of the component.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contest import PASSED, Contest, prepare
from tests.support.guarded_server import Bucket, GuardedServer, guarded_server
from tests.support.object_store import ObjectStore, object_store
from tests.support.postgres import Postgres, postgres_server

_numbers = itertools.count(1)
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every attack runs against the real server."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test the databases that its marker names."""
    if "server" in metafunc.fixturenames:
        kinds = [pytest.param("sqlite")]
        for name, kind in (("both_databases", "postgresql"), ("both_stores", "s3")):
            if marker := metafunc.definition.get_closest_marker(name):
                kinds.append(pytest.param(kind, marks=[pytest.mark.slow] * marker.kwargs.get("slow", False)))
        metafunc.parametrize("server", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for all attacks."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session")
def store() -> Iterator[ObjectStore]:
    """An object store for all attacks."""
    with object_store() as running:
        yield running


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """The guarded command line on a database and a store."""
    folder = tmp_path_factory.mktemp(f"guarded-{request.param}")
    database = request.getfixturevalue("postgres").database(folder.name) if request.param == "postgresql" else None
    bucket = None
    if request.param == "s3":
        store = request.getfixturevalue("store")
        bucket = Bucket(store, store.bucket("artifacts"), "mlflow")
    with guarded_server(folder, database, bucket=bucket) as running:
        yield running


@pytest.fixture(scope="session")
def _shared(server: GuardedServer) -> list[Contest]:
    """The slot in use; an attack that succeeds spoils it, and the next test gets another."""
    return []


@pytest.fixture
def contest(server: GuardedServer, _shared: list[Contest]) -> Iterator[Contest]:
    """A slot whose aliases, tags, descriptions and bytes must be the same after the attack as before."""
    if not _shared:
        _shared.append(prepare(server, f"plant-{next(_numbers)}"))
    ground = _shared.pop()
    ground.begin()
    yield ground
    changed = ground.changed()
    assert not changed, f"the attack succeeded: {changed}"
    _shared.append(ground)


@pytest.fixture
def short_contest(server: GuardedServer) -> Contest:
    """A slot of the test's own with the former champion, the champion and a version that passed."""
    return prepare(server, f"plant-{next(_numbers)}", last=PASSED)


@pytest.fixture
def own_contest(server: GuardedServer) -> Contest:
    """A slot of the test's own, for an attack that begins with an allowed change."""
    return prepare(server, f"plant-{next(_numbers)}")
