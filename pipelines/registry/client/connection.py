"""The connection to an MLflow server: the login, the client, and the errors for its failures."""

from __future__ import annotations

import contextlib
import functools
import os
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from elp_core.fail_points import durable_write
from pipelines.errors import LoginRefused, RegistryError, RemoteAway, ServiceError
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.outages import is_away
from pipelines.registry.plain_json import reason_in

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient

P = ParamSpec("P")
T = TypeVar("T")

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""Environment variables with the login of MLflow's client and of this one."""
_HEALTH_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""The server computes the hash of a bundle before some answers."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own defaults wait for minutes before they report that no server answers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
# MLflow has one class for all failures of a request: only the text differs
_SERVER_FAULT = ("failed with error code 5", "too many 5")
_UNREACHABLE = (*_SERVER_FAULT, "failed with exception", "Max retries exceeded", "Connection refused")
_FAULT_CODES = ("TEMPORARILY_UNAVAILABLE",)
"""Codes of MLflow's answers if its database or its artifact store is away."""
_STORE_AWAY, _NO_ANSWER, _REFUSED = 424, "does not answer", "refused a request"
"""Status of the guarded server if its artifact store fails; words of its sentence if the store is away, or refuses."""


@dataclass(frozen=True)
class Account:
    """A user name and its password."""

    name: str
    password: str

    def environment(self) -> dict[str, str]:
        """Return the environment variables that log MLflow's client in as this user."""
        return {USERNAME: self.name, PASSWORD: self.password}


def connect(uri: str) -> MlflowClient:
    """Return a client for tracking and registry; raise RemoteAway if no MLflow server answers in a few seconds."""
    for name, value in _ENVIRONMENT.items():
        # MLflow reads them at each request; a value that the user set is kept
        os.environ.setdefault(name, value)
    if uri.startswith(("http://", "https://")):
        # before the import of MLflow, which takes more than a second
        check_health(uri)
    with warnings.catch_warnings():
        # MLflow warns about its own type hints while it is imported
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def send_request(uri: str, method: str, path: str, login: Account | None, **content: Any) -> requests.Response:
    """Return a server's answer, whatever its status; raise RemoteAway if no server answers."""
    import requests

    content.setdefault("timeout", _ANSWER_SECONDS)
    auth = (login.name, login.password) if login else None
    write = contextlib.nullcontext() if method == "GET" else durable_write(f"request {path.rpartition('/')[2]}")
    try:
        with write:
            return requests.request(method, uri.rstrip("/") + path, auth=auth, **content)
    except requests.exceptions.RequestException as error:
        raise unreachable(uri, type(error).__name__, away=is_away(error)) from error


def unreachable(uri: str, reason: object, *, away: bool) -> ServiceError:
    """Return the error for a server that does not answer; `away` means that waiting may help."""
    kind = RemoteAway if away else ServiceError
    return kind(f"no MLflow server answers at {uri} ({reason}); start it with: elp up, or look at: elp status")


def answering(call: Callable[Concatenate[MlflowClient, P], T]) -> Callable[Concatenate[MlflowClient, P], T]:
    """Wrap a function with the client as first argument: MLflow's failures become errors of this project."""

    @functools.wraps(call)
    def wrapped(client: MlflowClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        import requests
        from mlflow.exceptions import MlflowException

        try:
            return call(client, *args, **kwargs)
        except requests.exceptions.HTTPError as error:
            # of MLflow's client for artifacts: the server answered, and its answer says why
            raise _answered(client.tracking_uri, error) from error
        except requests.exceptions.RequestException as error:
            raise unreachable(client.tracking_uri, type(error).__name__, away=is_away(error)) from error
        except MlflowException as error:
            uri, text = client.tracking_uri, str(error)
            if any(sign in text for sign in _UNREACHABLE):
                away = is_away(error) or any(sign in text for sign in _SERVER_FAULT)
                raise unreachable(uri, "the connection broke", away=away) from error
            if getattr(error, "error_code", "") in _FAULT_CODES and _REFUSED not in text:
                raise RemoteAway(f"MLflow at {uri}: {text}") from error
            refused = getattr(error, "error_code", "") == "PERMISSION_DENIED"
            shown = f"the MLflow server at {uri} refused" if refused else f"MLflow at {uri}"
            raise RegistryError(f"{shown}: {text}") from error

    return wrapped


def _answered(uri: str, error: requests.exceptions.HTTPError) -> ServiceError | RegistryError:
    """Return the error for an answer with an error status, with the server's own sentence if it has one."""
    answer = error.response
    if answer is None:
        return unreachable(uri, type(error).__name__, away=is_away(error))
    if answer.status_code == 401:
        return needs_login(uri)
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    if answer.status_code >= 500 and not is_json:
        return unreachable(uri, f"it answered {answer.status_code}", away=True)
    reason = reason_in(answer.text) if is_json else f"it answered {answer.status_code}"
    shown = f"the MLflow server at {uri} refused" if answer.status_code == 403 else f"MLflow at {uri}"
    away = answer.status_code >= 500 or (answer.status_code == _STORE_AWAY and _NO_ANSWER in reason)
    return RemoteAway(f"{shown}: {reason}") if away else RegistryError(f"{shown}: {reason}")


def needs_login(uri: str) -> LoginRefused:
    """Return the error for a request without the name and the password of a user."""
    return LoginRefused(f"the MLflow server at {uri} needs a login: set {USERNAME} and {PASSWORD}")


def missing(error: Exception) -> bool:
    """Return whether MLflow reports that something does not exist; it has two ways to report that."""
    code = getattr(error, "error_code", "")
    return code == "RESOURCE_DOES_NOT_EXIST" or (code == "INVALID_PARAMETER_VALUE" and "not found" in str(error))


def check_health(uri: str) -> None:
    """Raise ServiceError unless an MLflow server answers."""
    host = urllib.parse.urlsplit(uri).hostname or ""
    # a proxy cannot reach a server on this machine
    handlers = [urllib.request.ProxyHandler({})] if host in LOCAL_HOSTS else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(uri.rstrip("/") + "/health", timeout=_HEALTH_SECONDS) as answer:
            body = answer.read(64).strip()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise unreachable(uri, getattr(error, "reason", error), away=_may_come_back(error)) from error
    if body != b"OK":
        raise ServiceError(f"the server at {uri} is not MLflow; correct servers.mlflow_uri in elp.yaml")


def _may_come_back(error: Exception) -> bool:
    # urllib keeps the system's error in `reason`, not as the cause
    reason = getattr(error, "reason", None)
    return is_away(error) or (isinstance(reason, BaseException) and is_away(reason))
