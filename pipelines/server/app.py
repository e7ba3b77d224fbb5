"""The application that ``mlflow server --app-name elp`` starts: MLflow's own, with the guard's stores and routes.

Entry point ``elp`` of `mlflow.app`.
"""

import os
from typing import Any

from flask import Flask
from mlflow.server import app as mlflow_app

from pipelines.prefect_names import PREFECT_LOGIN, PREFECT_SERVER
from pipelines.server import metrics_page, mlflow_private, pages, retention_routes, routes
from pipelines.server.auth.middleware import AuthMiddleware
from pipelines.server.auth.mlflow_login import add_login, authenticate
from pipelines.server.auth.principal import login_on
from pipelines.server.front.prefect_front import PrefectFront
from pipelines.server.overrides import start_expiry_thread
from pipelines.server.pages.mlflow_pages import add_page_headers
from pipelines.server.stores import registry_store
from pipelines.server.stores.artifact_store import GuardedLocal, GuardedS3
from pipelines.server.stores.tracking_store import GuardedTracking


def create_app(app: Flask = mlflow_app) -> Any:
    """Add the guard to MLflow's application; return an ASGI application for uvicorn, the Flask one for another server.

    Raise ServiceError if a login is required and this server cannot have one, RuntimeError if the registry, the runs or
    the artifacts of this server are not guarded: a guard on some of them would protect nothing.
    """
    mlflow_private.build_stores(GuardedTracking, registry_store.registry)
    _refuse_unguarded_stores()
    # the login comes first: its hook then runs before those that are added after it
    asgi_app: Any = add_login(app, registry_store.registry().record_users) if login_on() else None
    # MLflow's application is a global: a second call must not add the routes again
    if routes.blueprint.name not in app.blueprints:
        app.register_blueprint(retention_routes.blueprint, url_prefix=mlflow_private.static_prefix() + routes.ROUTE)
        app.register_blueprint(pages.blueprint, url_prefix=mlflow_private.static_prefix() + pages.ROUTE)
        app.register_blueprint(metrics_page.blueprint, url_prefix=mlflow_private.static_prefix() + pages.ROUTE)
        add_page_headers(app)
    # every server process has the thread; `end_expired_overrides` lets one of them end each override
    start_expiry_thread(registry_store.registry)
    if asgi_app is None and mlflow_private.server_name() != "uvicorn":
        return app
    if asgi_app is None:
        from mlflow.server.fastapi_app import create_fastapi_app

        asgi_app = create_fastapi_app(app)
    if upstream := os.environ.get(PREFECT_SERVER):
        asgi_app = PrefectFront(asgi_app, upstream, os.environ.get(PREFECT_LOGIN, ""))
    return AuthMiddleware(asgi_app, authenticate if login_on() else None, registry_store.registry().record_refusal)


def _refuse_unguarded_stores() -> None:
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR

    registry_store.registry()
    runs = mlflow_private.tracking_store()
    if not isinstance(runs, GuardedTracking):
        raise RuntimeError(
            f"the runs are kept by {type(runs).__name__}, which lets a run be deleted that a version is "
            "based on; start the server with --backend-store-uri sqlite:///… or postgresql://… "
            "(docs/explanation/registry.md)"
        )
    if os.environ.get(SERVE_ARTIFACTS_ENV_VAR) != "true" or ARTIFACTS_DESTINATION_ENV_VAR not in os.environ:
        raise RuntimeError("the guarded server serves the artifacts itself; start it with --serve-artifacts")
    if not isinstance(mlflow_private.served_artifacts(), GuardedLocal | GuardedS3):
        raise RuntimeError(
            f"the artifacts at {os.environ[ARTIFACTS_DESTINATION_ENV_VAR]} are not guarded; start the server with "
            "--artifacts-destination elp+file:///… or elp+s3://… (docs/explanation/registry.md)"
        )
