"""The application that ``mlflow server --app-name elp`` starts: MLflow's own, with the guard's routes and stores.

Entry point ``elp`` of `mlflow.app`.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from mlflow.server import app as mlflow_app
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.guard import api, server, who
from pipelines.guard.artifacts import GuardedLocal, GuardedS3
from pipelines.guard.tracking import guard_tracking


def create_app(app: Flask = mlflow_app) -> Any:
    """Put the guard's routes into MLflow's application.

    Args:
        app: MLflow's Flask application.

    Returns:
        A FastAPI application around it under uvicorn, the Flask application under another server.

    Raises:
        RuntimeError: where the registry or the artifacts of this server are not guarded: half a guard is none.
    """
    from mlflow.environment_variables import _MLFLOW_SGI_NAME

    guard_tracking()
    _refuse_half_a_guard()
    if api.blueprint.name not in app.blueprints:
        app.register_blueprint(api.blueprint)
    if who.login_on():
        from mlflow.server.auth import create_app as with_login

        made = with_login(app)
    elif _MLFLOW_SGI_NAME.get() == "uvicorn":
        from mlflow.server.fastapi_app import create_fastapi_app

        made = create_fastapi_app(app)
    else:
        made = app
    if not isinstance(made, Flask):
        made.add_middleware(_Address)
    return made


class _Address:
    """Remembers the caller's address for the routes that are no Flask views."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        client = scope.get("client")
        token = who.address.set(str(client[0]) if client else "")
        try:
            await self._app(scope, receive, send)
        finally:
            who.address.reset(token)


def _refuse_half_a_guard() -> None:
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR

    server.registry()
    if os.environ.get(SERVE_ARTIFACTS_ENV_VAR) != "true" or ARTIFACTS_DESTINATION_ENV_VAR not in os.environ:
        raise RuntimeError("the guarded server serves the artifacts itself; start it with --serve-artifacts")
    if not isinstance(server.artifacts(), GuardedLocal | GuardedS3):
        raise RuntimeError(
            f"the artifacts at {os.environ[ARTIFACTS_DESTINATION_ENV_VAR]} are not guarded; start the server with "
            "--artifacts-destination elp+file:///… or elp+s3://… (docs/registry.md)"
        )
