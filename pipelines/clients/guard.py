"""The guard's own API on the MLflow server: signed statements in, statements and decisions out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pipelines.clients.mlflow_server import unreachable
from pipelines.errors import GateRefused, RegistryError, ServiceError

API = "/elp/api/v1"
PATIENCE_SECONDS = 60.0
"""The server hashes a bundle before it answers some of these."""


def submit(uri: str, model: str, version: int, envelope: str) -> str:
    """Hand a signed statement on a version to the server, which verifies and records it; again changes nothing.

    Args:
        uri: Address of the MLflow server.
        model: Registered model: ``elp.<site>.<task>``.
        version: The version it is about.
        envelope: The DSSE envelope's text.

    Returns:
        The statement's digest (hex).

    Raises:
        GateRefused: where the server does not take the statement, with its sentence.
        ServiceError: where no guarded server answers.
        RegistryError: where the server has no such version.
    """
    answer = _ask(uri, "POST", "/statements", json={"model": model, "version": version, "envelope": envelope})
    return str(answer["digest"])


def statements(uri: str, **wanted: str | int) -> list[dict[str, Any]]:
    """Recorded statements: digest, kind, model, version, envelope and more, the newest first.

    Args:
        uri: Address of the MLflow server.
        wanted: Any of `model`, `version`, `kind`, `fingerprint`, `dataset`, `bundle`.

    Raises:
        ServiceError: where no guarded server answers.
    """
    return [dict(found) for found in _ask(uri, "GET", "/statements", params=wanted)["statements"]]


def _ask(uri: str, method: str, route: str, **content: Any) -> Mapping[str, Any]:
    import requests

    user, word = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    login = (user, word or "") if user else None
    try:
        answer = requests.request(
            method, uri.rstrip("/") + API + route, auth=login, timeout=PATIENCE_SECONDS, **content
        )
    except requests.exceptions.RequestException as error:
        raise unreachable(uri, type(error).__name__) from error
    try:
        values = answer.json()
    except ValueError:
        values = None
    if answer.ok and isinstance(values, dict):
        return values
    raise _failure(uri, answer.status_code, values)


def _failure(uri: str, status: int, values: Any) -> ServiceError | GateRefused | RegistryError:
    """What an answer that is not a success means."""
    told = str(values.get("message", "")) if isinstance(values, dict) else ""
    if status == 401:
        return ServiceError(
            f"the MLflow server at {uri} wants a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if status == 403:
        return GateRefused(told or f"the MLflow server at {uri} refused")
    if not told:
        return ServiceError(
            f"the MLflow server at {uri} has no guard (it answered {status}), so statements cannot be recorded and no "
            "version can be promoted there; start it with elp up, or with the command line of docs/registry.md"
        )
    return RegistryError(f"the guard at {uri}: {told}")
