from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from pipelines.server.auth import principal
from pipelines.server.auth.middleware import AuthMiddleware
from pipelines.server.auth.principal import Caller

USERS = {
    ("anna", "pässwort:1"): Caller("anna", True, "", roles=("promoter",)),
    ("theo", "t"): Caller("theo", True, "", roles=("trainer",)),
    ("carl", "c"): Caller("carl", True, ""),
}


def _basic(name: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:{password}".encode())


def _ask(path: str, method: str = "GET", header: bytes | None = None, kind: str = "http", login: bool = True) -> Any:
    """Return the middleware's answer: a status, or the caller that the application sees."""
    reached: list[Caller] = []
    sent: list[dict[str, Any]] = []

    async def behind(scope, receive, send) -> None:
        reached.append(principal.current_caller())

    async def send(message) -> None:
        sent.append(message)

    headers = [] if header is None else [(b"authorization", header)]
    scope = {"type": kind, "method": method, "path": path, "headers": headers, "client": ("10.0.0.7", 1)}
    middleware = AuthMiddleware(behind, (lambda name, word: USERS.get((name, word))) if login else None)
    asyncio.run(middleware(scope, None, send))
    return reached[0] if reached else sent[0].get("status", sent[0]["type"])


@pytest.mark.parametrize("path", ["/", "/elp/", "/elp/api/v1/status", "/v1/traces", "/healthy", "/static-files", "/x"])
@pytest.mark.parametrize(
    "header",
    [None, b"", b"Basic", b"Basic !!", b"Basic " + base64.b64encode(b"anna"), b"Bearer x", _basic("anna", "no")],
)
def test_a_request_without_a_valid_login_is_refused(path: str, header: bytes | None) -> None:
    assert _ask(path, header=header) == 401


@pytest.mark.parametrize("path", ["/health", "/static-files/index.js"])
def test_health_and_static_files_are_open(path: str) -> None:
    assert _ask(path).name == "unknown"


def test_a_web_socket_is_closed() -> None:
    assert _ask("/", kind="websocket", header=_basic("anna", "pässwort:1")) == "websocket.close"


def test_the_application_sees_the_caller_who_logged_in() -> None:
    actor = _ask("/elp/api/v1/promote", "POST", _basic("anna", "pässwort:1"))
    assert actor == Caller("anna", True, "10.0.0.7", roles=("promoter",))


def test_a_role_that_does_not_reach_is_refused_with_403() -> None:
    assert _ask("/api/2.0/mlflow/runs/create", "POST", _basic("anna", "pässwort:1")) == 403
    assert _ask("/api/2.0/mlflow/registered-models/alias", "POST", _basic("carl", "c")) == 403


def test_a_server_that_asks_for_no_login_knows_the_address_only() -> None:
    assert _ask("/x", "POST", login=False) == Caller("unknown", False, "10.0.0.7")


@pytest.mark.parametrize("login", [True, False])
@pytest.mark.parametrize("before", ["", "/elp", "/elp/"])
def test_mlflows_assistant_which_runs_commands_is_not_there(login: bool, before: str) -> None:
    header = _basic("anna", "pässwort:1")
    assert _ask(f"{before}/ajax-api/3.0/mlflow/assistant/message", "POST", header, login=login) == 404


@pytest.mark.parametrize("prefix", ["/elp", "/elp/", "/ml", "/ml/"])
def test_a_static_prefix_hides_nothing(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    # MLflow adds its routes behind the prefix without the slash at its end
    monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", prefix)
    api, trainer = f"{prefix.rstrip('/')}/ajax-api/2.0/mlflow", _basic("theo", "t")
    assert _ask(f"{api}/runs/create", "POST", _basic("anna", "pässwort:1")) == 403
    assert _ask(f"{api}/runs/create", "POST", trainer).name == "theo"
    for family in ("users", "roles", "webhooks", "gateway-proxy"):
        assert _ask(f"{api}/{family}/create", "POST", trainer) == 403
