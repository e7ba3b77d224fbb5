"""The private names of MLflow that the server uses, all of them in this file.

Any release of MLflow may change each of them. `CHECKED` lists the releases with which the tests passed; a newer release
is checked by `tests/pipelines/server/test_mlflow_private.py`. The guarded stores also override private methods:
``_hard_delete_experiment`` of the tracking store, ``_create_staging_artifact`` and ``_publish_staged_artifact`` of the
local artifact store, which calls ``_get_destination_artifact_path``; ``_get_s3_client``,
``_download_file`` and ``_iterate_s3_paginated_results`` of the S3 artifact store, with its ``_bucket_owner_params``.
"""

import os
from collections.abc import Callable
from typing import Any

from mlflow.store.artifact.local_artifact_repo import _TEMP_ARTIFACT_PREFIX as TEMP_ARTIFACT_PREFIX

__all__ = ["TEMP_ARTIFACT_PREFIX"]

CHECKED = ("3.17.2",)


def registry_store() -> Any:
    """Return this process's registry store."""
    # imported late, here and below: MLflow's server may be what imports this module
    from mlflow.server import handlers

    return handlers._get_model_registry_store()


def tracking_store() -> Any:
    """Return this process's tracking store."""
    from mlflow.server import handlers

    return handlers._get_tracking_store()


def served_artifacts() -> Any:
    """Return the artifact repository that this server serves (an `ArtifactRepository`)."""
    from mlflow.server import handlers

    return handlers._get_artifact_repo_mlflow_artifacts()


def delete_logged_model(model_id: str) -> None:
    """Delete the rows of a logged model, as ``mlflow gc`` does; MlflowException if it does not exist."""
    tracking_store()._hard_delete_logged_model(model_id)


def delete_run_rows(run_id: str) -> None:
    """Delete the rows of a run, as ``mlflow gc`` does; MlflowException if it does not exist."""
    tracking_store()._hard_delete_run(run_id)


def build_stores(tracking: type, registry: Callable[[], Any]) -> None:
    """Make this process build these stores for SQLite and PostgreSQL: the server, and MLflow's client inside it.

    Parts of the server (jobs, the demo's deletion) use that client, which has the plain address of the database.
    """
    from mlflow.server import handlers
    from mlflow.tracking._model_registry import utils as client_registry
    from mlflow.tracking._tracking_service import utils as client_tracking

    for scheme in ("sqlite", "postgresql"):
        for stores in (handlers._tracking_store_registry, client_tracking._tracking_store_registry):
            stores.register(scheme, lambda store_uri, artifact_uri: tracking(store_uri, artifact_uri))
        client_registry._get_store_registry().register(scheme, lambda **_: registry())
    # MLflow may have built its own store before this call
    if not isinstance(handlers._tracking_store, tracking):
        handlers._tracking_store = None


def static_prefix() -> str:
    """Return the prefix of all addresses: ``mlflow server --static-prefix``."""
    return os.environ.get("_MLFLOW_STATIC_PREFIX", "").rstrip("/")


def server_name() -> str | None:
    """Return the program that serves the application, such as ``uvicorn``; None outside ``mlflow server``."""
    return os.environ.get("_MLFLOW_SGI_NAME")


def replace_login_check(flask_app: Any, check: Callable[[], Any]) -> None:
    """Put a check in the place of basic auth's own in the order of the hooks before a request."""
    from mlflow.server import auth

    hooks = flask_app.before_request_funcs[None]
    hooks[hooks.index(auth._before_request)] = check


def check_login() -> Any:
    """Run the check of basic auth on a Flask request; it refuses paths that it does not know."""
    from mlflow.server import auth

    return auth._before_request()


def login_user(username: str, password: str) -> Any:
    """Return the user with this name and password, or None if they are wrong; basic auth keeps the answer a while."""
    from mlflow.server import auth

    return auth._authenticate_cached(username, password)
