"""MLflow's basic auth on our server: its users, our roles in its tables, the workers' account, changes recorded."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ServiceError
from pipelines.locks import file_lock
from pipelines.registry.ledger.entry import Principal
from pipelines.server import mlflow_private
from pipelines.server.auth.principal import AUTH, MLFLOW_PERMISSIONS, Caller, current_caller

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask, Response

RecordUsers = Callable[[Principal, Mapping[str, str]], None]

SERVICE_ACCOUNT = "ELP_SERVICE_ACCOUNT"
"""Environment variable: a JSON file with `username` and `password` of the account that the workers use."""

_USERS = re.compile(r"/mlflow/((?:users|roles)/[a-z/-]+)$")
_RECORDED = ("username", "name", "is_admin", "role_permission_id", "resource_type", "resource_pattern", "permission")
"""The fields of a request that changes users or roles which the ledger records; never a password."""
_WORKSPACE = "default"
_LONGEST = 200


def add_login(flask_app: Flask, record: RecordUsers) -> FastAPI:
    """Add MLflow's basic auth to the Flask app, before any hook of ours, with the roles; return its FastAPI app.

    When all pages are added, wrap that in `AuthMiddleware(app, authenticate)`. Raise ServiceError if another server
    than uvicorn would bypass it, or the settings are missing.
    """
    if mlflow_private.server_name() not in (None, "uvicorn"):
        raise ServiceError(
            f"{AUTH}=1 needs MLflow's default server, uvicorn; leave out --gunicorn-opts and --waitress-opts"
        )
    settings = os.environ.get("MLFLOW_AUTH_CONFIG_PATH")
    if not settings:
        raise ServiceError(
            f"{AUTH}=1 needs MLFLOW_AUTH_CONFIG_PATH, which names the users' database; see docs/how-to/access.md"
        )
    # server processes start together, and only one may create the tables of the users, the roles and the accounts
    with file_lock(Path(f"{settings}.lock")):
        from mlflow.server import auth

        fastapi_app: FastAPI = auth.create_app(flask_app)
        _create_roles(auth.store)
        _create_service_account(auth.store)
    mlflow_private.replace_login_check(flask_app, _check_mlflow_route)

    def record_change(response: Response) -> Response:
        detail = _users_change(response)
        if detail:
            record(current_caller(), detail)
        return response

    flask_app.after_request(record_change)
    return fastapi_app


def authenticate(username: str, password: str) -> Caller | None:
    """Return the caller with this name and password, or None if they are wrong."""
    from mlflow.server import auth

    # a browser sends the password with every request, and its check is slow on purpose
    user = mlflow_private.login_user(username, password)
    if user is None:
        return None
    roles = tuple(sorted(role.name for role in auth.store.list_user_roles(user.id) if role.workspace == _WORKSPACE))
    ours = tuple(name for name in roles if name in MLFLOW_PERMISSIONS)
    return Caller(user.username, True, "", bool(user.is_admin), ours)


def _check_mlflow_route() -> Any:
    """Run MLflow's check of a Flask request. It does not know our own routes, which check their right themselves."""
    from flask import request

    if request.blueprint is not None and request.blueprint.startswith("elp"):
        return None
    return mlflow_private.check_login()


def _users_change(response: Response) -> dict[str, str]:
    """Return what the ledger records of a change of users or roles; empty if the request made none.

    The approval of an override is worth as much as the accounts of the two people.
    """
    from flask import request

    found = _USERS.search(request.path)
    if found is None or request.method == "GET" or response.status_code >= 400:
        return {}
    sent = request.get_json(silent=True)
    values = sent if isinstance(sent, dict) else {}
    detail = {"what": found[1]} | {name: str(values[name])[:_LONGEST] for name in _RECORDED if name in values}
    if "role_id" in values:
        detail["role"] = _role_name(values["role_id"])
    return detail


def _role_name(number: Any) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.server import auth

    try:
        return str(auth.store.get_role(int(number)).name)
    except (MlflowException, ValueError):
        return str(number)[:_LONGEST]


def _create_roles(store: Any) -> None:
    held = {role.name: role for role in store.list_roles([_WORKSPACE])}
    for name, permissions in MLFLOW_PERMISSIONS.items():
        role = held.get(name) or store.create_role(name, _WORKSPACE, f"ELP Foundry: {name}")
        present = {(p.resource_type, p.resource_pattern) for p in role.permissions}
        for resource, pattern, permission in permissions:
            if (resource, pattern) not in present:
                store.add_role_permission(role.id, resource, pattern, permission)


def _create_service_account(store: Any) -> None:
    """Create the workers' account with the password in their file; an account that exists keeps its roles."""
    path = os.environ.get(SERVICE_ACCOUNT)
    if not path:
        return
    account = json.loads(Path(path).read_text(encoding="utf-8"))
    name, password = account["username"], account["password"]
    if store.has_user(name):
        # the file decides: a password that was changed elsewhere would lock the workers out
        if not store.authenticate_user(name, password):
            store.update_user(name, password=password)
        return
    _create_trainer(store, name, password)


def _create_trainer(store: Any, username: str, password: str) -> None:
    user = store.create_user(username, password)
    role = next(role for role in store.list_roles([_WORKSPACE]) if role.name == "trainer")
    store.assign_role_to_user(user.id, role.id)


def create_worker_account(worker: str) -> dict[str, str]:
    """Create the account of a worker with the role trainer, or give it a new password; return name and password."""
    from mlflow.server import auth

    account = {"username": f"worker-{worker}", "password": secrets.token_urlsafe(24)}
    # one that an interrupted enrolment has left may have any role
    remove_worker_account(worker)
    _create_trainer(auth.store, **account)
    return account


def remove_worker_account(worker: str) -> None:
    """Remove the account of a worker, if it has one."""
    from mlflow.server import auth

    if auth.store.has_user(name := f"worker-{worker}"):
        auth.store.delete_user(name)
