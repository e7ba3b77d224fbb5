"""A store of its own for each test, copied from one that is made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.server.stores.registry_store import GuardedStore
from tests.support.bare_store import make_store, open_store


@pytest.fixture(scope="session")
def _made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELP_KEYS", str(folder / "keys"))
        make_store(folder)._dispose_engine()
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _made_store: Path) -> Iterator[GuardedStore]:
    """Database and keys lie in the test's own folder."""
    shutil.copytree(_made_store, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("ELP_KEYS", str(tmp_path / "keys"))
    made = open_store(tmp_path)
    yield made
    made._dispose_engine()
