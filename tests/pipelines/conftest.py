"""The real servers that several test modules share, one of each for a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running MLflow server; tests keep apart by using slots of their own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri
