"""A server with a login, shared by the modules that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.accounts import LoginServer, login_server


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginServer]:
    with login_server(tmp_path_factory.mktemp("login")) as running:
        yield running
