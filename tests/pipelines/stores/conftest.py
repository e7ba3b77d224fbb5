"""Real servers of a team, one of each for a test process: an object store, an SSH server, PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local.secret_values import _NAMES, PLAIN_S3
from tests.support.object_store import ObjectStore, object_store
from tests.support.postgres import Postgres, postgres_server
from tests.support.ssh_server import SshServer, ssh_server

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here uses real servers."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own; what a test puts into the environment is taken out again."""
    for name in (*_NAMES, *PLAIN_S3, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    # the machine's own services are asked for keys otherwise
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def store() -> Iterator[ObjectStore]:
    """An object store with a bucket ``speech``."""
    with object_store() as running:
        running.bucket("speech")
        yield running


@pytest.fixture(scope="module")
def fragile() -> Iterator[ObjectStore]:
    """A store that the tests of a file kill and stop; it runs again after each."""
    with object_store() as running:
        running.bucket("speech")
        yield running


@pytest.fixture(scope="session")
def _ssh() -> Iterator[SshServer]:
    with ssh_server() as running:
        yield running


@pytest.fixture
def ssh(_ssh: SshServer) -> SshServer:
    """An SSH server that lets the test's user in."""
    _ssh.let_in(Path(os.environ["HOME"]))
    return _ssh


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster."""
    with postgres_server() as running:
        yield running
