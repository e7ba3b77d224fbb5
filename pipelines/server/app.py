"""The application that ``mlflow server --app-name elp`` starts: MLflow's own, with the guard's routes and stores.

Entry point ``elp`` of `mlflow.app`.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from mlflow.server import app as mlflow_app

from pipelines.server import pages as console
from pipelines.server import routes as api
from pipelines.server.auth import middleware as login
from pipelines.server.auth import principal as who
from pipelines.server.overrides import expiry_thread as watch
from pipelines.server.storage import artifact_bytes as served
from pipelines.server.stores import current as server
from pipelines.server.stores.artifact_store import GuardedLocal, GuardedS3
from pipelines.server.stores.tracking_store import GuardedTracking, guard_tracking


def create_app(app: Flask = mlflow_app) -> Any:
    """Put the guard's routes into MLflow's application.

    Args:
        app: MLflow's Flask application.

    Returns:
        An ASGI application around it under uvicorn, the Flask application under another server.

    Raises:
        ServiceError: where a login is asked for and cannot be.
        RuntimeError: where the registry, runs or artifacts of this server are not guarded: half a guard is none.
    """
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server.handlers import _add_static_prefix

    guard_tracking()
    _refuse_half_a_guard()
    # the login comes first: what is added after it is behind it
    made = login.add_login(app) if who.login_on() else None
    if api.blueprint.name not in app.blueprints:
        app.register_blueprint(api.blueprint, url_prefix=_add_static_prefix(api.ROUTE))
        app.register_blueprint(console.blueprint, url_prefix=_add_static_prefix(console.ROUTE))
    watch.start()
    if made is None and _MLFLOW_SGI_NAME.get() != "uvicorn":
        return app
    if made is None:
        from mlflow.server.fastapi_app import create_fastapi_app

        made = create_fastapi_app(app)
    return login.AuthMiddleware(made, login.log_in if who.login_on() else None, login.record_refusal)


def _refuse_half_a_guard() -> None:
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR

    server.registry()
    if not isinstance(server.tracking(), GuardedTracking):
        raise RuntimeError(
            f"the runs are kept by {type(server.tracking()).__name__}, which lets those behind a version be deleted; "
            "start the server with --backend-store-uri sqlite:///… or postgresql://… (docs/explanation/registry.md)"
        )
    if os.environ.get(SERVE_ARTIFACTS_ENV_VAR) != "true" or ARTIFACTS_DESTINATION_ENV_VAR not in os.environ:
        raise RuntimeError("the guarded server serves the artifacts itself; start it with --serve-artifacts")
    if not isinstance(served.artifacts(), GuardedLocal | GuardedS3):
        raise RuntimeError(
            f"the artifacts at {os.environ[ARTIFACTS_DESTINATION_ENV_VAR]} are not guarded; start the server with "
            "--artifacts-destination elp+file:///… or elp+s3://… (docs/explanation/registry.md)"
        )
