"""MLflow's basic auth inside our server: one entrance before every page and route, ours and MLflow's.

MLflow checks a login in two places, one for Flask and one for its own FastAPI routes, and a hook or page that is added
before or after them answers without one. So the whole server is wrapped: `AuthMiddleware` is the outermost layer, knows
the caller or refuses with 401, and measures the request against the caller's role. MLflow's own checks stay behind it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from pipelines.errors import ServiceError
from pipelines.server.auth import principal as who
from pipelines.server.auth.roles import MLFLOW_PERMISSIONS, Actor, may, needed, refusal

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Login = Callable[[str, str], "Actor | None"]
Record = Callable[[Actor, str, str], None]

SERVICE_ACCOUNT = "ELP_SERVICE_ACCOUNT"
"""Environment variable: a JSON file with `username` and `password` of the account that the workers use."""

_OPEN = ("/health", "/favicon.ico")
_OPEN_BELOW = "/static-files/"
_ASSISTANT = "/mlflow/assistant"
"""In the path of MLflow's assistant. It runs commands as the server's user, who can write the database and the keys."""
_STATIC_PREFIX = "_MLFLOW_STATIC_PREFIX"
"""What `mlflow server --static-prefix` sets."""
_USERS = re.compile(r"/mlflow/((?:users|roles)/[a-z/-]+)$")
_TOLD = ("username", "name", "is_admin", "role_permission_id", "resource_type", "resource_pattern", "permission")
"""Of a request that changes users or roles, what the ledger tells; never a password."""
_WORKSPACE = "default"
_LONGEST = 200
"""Characters of a request's path in the ledger."""


class AuthMiddleware:
    """The outermost ASGI layer: every request gets its actor here; without a login it goes no further.

    Args:
        app: What is behind the entrance.
        login: (user name, password) to the actor, None where they are not right; no login at all lets everyone in
            without a name.
        record: Takes (who, what, sentence) of a request that the caller's role does not reach.
    """

    def __init__(self, app: App, login: Login | None = None, record: Record | None = None) -> None:
        self.app = app
        self.login = login
        self.record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 401 or 403 here, or what is behind the entrance."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope["path"])):
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            # no page here speaks over a web socket
            return await send({"type": "websocket.close", "code": 1008})
        actor = await self._actor(scope)
        if actor is None:
            return await _answer(send, 401, "UNAUTHENTICATED", "log in: this server answers nobody unknown")
        if _ASSISTANT in scope["path"]:
            return await _answer(send, 404, "ENDPOINT_NOT_FOUND", "the guarded server has no MLflow assistant")
        action = needed(scope["method"], _routed(scope))
        if not may(actor, action):
            sentence = refusal(actor, action)
            if self.record is not None:
                await anyio.to_thread.run_sync(self.record, actor, f"{scope['method']} {scope['path']}", sentence)
            return await _answer(send, 403, "PERMISSION_DENIED", sentence)
        with who.acting(actor):
            await self.app(scope, receive, send)

    async def _actor(self, scope: Scope) -> Actor | None:
        address = scope["client"][0] if scope.get("client") else ""
        if self.login is None:
            return Actor(who.UNKNOWN, address=address)
        credentials = _credentials(scope)
        if credentials is None:
            return None
        # a password check takes tens of milliseconds on purpose, and no other request may wait for it
        found = await anyio.to_thread.run_sync(self.login, *credentials)
        return found and Actor(found.name, True, found.admin, found.roles, address)


def add_login(flask_app: Flask) -> FastAPI:
    """Put MLflow's basic auth on the Flask app, before any hook of ours, and make its users' roles.

    Returns:
        MLflow's FastAPI app around it. Wrap it in `AuthMiddleware(app, log_in)` when all pages are there.

    Raises:
        ServiceError: where the server is not run by uvicorn: other servers bypass the entrance.
    """
    if os.environ.get("_MLFLOW_SGI_NAME", "uvicorn") != "uvicorn":
        raise ServiceError(
            f"{who.AUTH}=1 needs MLflow's default server, uvicorn; leave out --gunicorn-opts and --waitress-opts"
        )
    with _one_process_at_a_time():
        from mlflow.server import auth

        fastapi_app: FastAPI = auth.create_app(flask_app)
        _make_roles(auth.store)
        _make_service_account(auth.store)
    hooks = flask_app.before_request_funcs[None]
    hooks[hooks.index(auth._before_request)] = _authorize
    flask_app.after_request(_record_users)
    return fastapi_app


def log_in(username: str, password: str) -> Actor | None:
    """The actor with this name and password; None where there is none."""
    from mlflow.server import auth

    user = auth._authenticate_cached(username, password)
    if user is None:
        return None
    roles = tuple(sorted(role.name for role in auth.store.list_user_roles(user.id) if role.workspace == _WORKSPACE))
    return Actor(user.username, True, bool(user.is_admin), tuple(name for name in roles if name in MLFLOW_PERMISSIONS))


def record_refusal(actor: Actor, what: str, sentence: str) -> None:
    """Write into the ledger what a role did not reach."""
    from pipelines.server.refusal import Refusal
    from pipelines.server.stores import current as server

    with contextlib.suppress(Refusal), server.registry().refusing(actor.who):
        raise Refusal(sentence, what=what[:_LONGEST])


def _authorize() -> Any:
    """MLflow's check of a Flask request; our own routes, which it does not know, need the login only."""
    from flask import request
    from mlflow.server import auth

    if request.blueprint is not None and request.blueprint.startswith("elp"):
        return None
    return auth._before_request()


def _record_users(response: Response) -> Response:
    """Write into the ledger who may log in and do what: two people's word is worth what the accounts are worth."""
    from flask import request

    from pipelines.server.stores import current as server

    found = _USERS.search(request.path)
    if found is None or request.method == "GET" or response.status_code >= 400:
        return response
    sent = request.get_json(silent=True)
    values = sent if isinstance(sent, dict) else {}
    told = {name: str(values[name])[:_LONGEST] for name in _TOLD if name in values}
    if "role_id" in values:
        told["role"] = _role_name(values["role_id"])
    with server.registry().locked() as book:
        book.append("users changed", "", who.caller(), detail={"what": found[1], **told})
    return response


def _role_name(number: Any) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.server import auth

    try:
        return str(auth.store.get_role(int(number)).name)
    except (MlflowException, ValueError):
        return str(number)[:_LONGEST]


def _make_roles(store: Any) -> None:
    held = {role.name: role for role in store.list_roles([_WORKSPACE])}
    for name, permissions in MLFLOW_PERMISSIONS.items():
        role = held.get(name) or store.create_role(name, _WORKSPACE, f"ELP Foundry: {name}")
        present = {(p.resource_type, p.resource_pattern) for p in role.permissions}
        for resource, pattern, permission in permissions:
            if (resource, pattern) not in present:
                store.add_role_permission(role.id, resource, pattern, permission)


def _make_service_account(store: Any) -> None:
    """The workers' account, with the password that their file says; its roles are what administrators made them."""
    path = os.environ.get(SERVICE_ACCOUNT)
    if not path:
        return
    account = json.loads(Path(path).read_text(encoding="utf-8"))
    name, password = account["username"], account["password"]
    if store.has_user(name):
        if not store.authenticate_user(name, password):
            store.update_user(name, password=password)
        return
    user = store.create_user(name, password)
    role = next(role for role in store.list_roles([_WORKSPACE]) if role.name == "trainer")
    store.assign_role_to_user(user.id, role.id)


@contextlib.contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """Server processes start together; only one may make the users' tables, the roles and the accounts."""
    import fcntl

    path = os.environ.get("MLFLOW_AUTH_CONFIG_PATH")
    if not path:
        raise ServiceError(
            f"{who.AUTH}=1 needs MLFLOW_AUTH_CONFIG_PATH, the file that says where the users are; "
            "see docs/how-to/access.md"
        )
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_BELOW)


def _routed(scope: Scope) -> str:
    """The path as the routes have it: without what a proxy or MLflow put before."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).removeprefix(os.environ.get(_STATIC_PREFIX, ""))


def _credentials(scope: Scope) -> tuple[str, str] | None:
    sent = dict(scope["headers"]).get(b"authorization", b"")
    scheme, _, encoded = sent.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    """An error in MLflow's form, so that its pages and its client show the sentence."""
    body = json.dumps({"error_code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="mlflow"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
