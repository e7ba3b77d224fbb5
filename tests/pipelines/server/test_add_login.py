"""A server whose login would not cover every route does not start."""

from __future__ import annotations

import pytest
from flask import Flask

from pipelines.errors import ServiceError
from pipelines.server.auth.mlflow_login import add_login


def test_a_server_that_would_bypass_the_middleware_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_SGI_NAME", "gunicorn")
    with pytest.raises(ServiceError, match=r"ELP_AUTH=1 needs MLflow's default server, uvicorn"):
        add_login(Flask("any"), lambda *_: None)


def test_a_login_without_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_AUTH_CONFIG_PATH", raising=False)
    monkeypatch.setenv("_MLFLOW_SGI_NAME", "uvicorn")
    with pytest.raises(ServiceError, match=r"needs MLFLOW_AUTH_CONFIG_PATH, .*docs/how-to/access.md"):
        add_login(Flask("any"), lambda *_: None)
