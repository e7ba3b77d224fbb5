"""The outermost layer of a server with MLflow's basic auth: it runs before every page and route, ours and MLflow's.

MLflow checks a login in two places, one for Flask and one for its own FastAPI routes, and a hook or page that is added
before or after them answers without a login. So `AuthMiddleware` wraps the whole server. It sets the caller or refuses
with 401, and checks that the caller has the right that the request needs. MLflow's own checks run behind it.
"""

from collections.abc import Callable

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from werkzeug.datastructures import Authorization

from pipelines.registry.ledger.entry import Principal
from pipelines.server.auth.principal import UNKNOWN, Caller, acting_as, denial, has_right, right_needed
from pipelines.server.mlflow_private import static_prefix

Login = Callable[[str, str], "Caller | None"]
Record = Callable[[Principal, str, str], None]

_OPEN = ("/health", "/favicon.ico")
_CHECKED = ("workers/enrol", "boxes/enrol", "boxes/report", "boxes/serving")
_OWN_CHECK = {("POST", f"/elp/api/v1/{route}") for route in _CHECKED}
"""Open to all: the route checks a one-time token, or the signature of a box, itself."""
_DELIVERY, _BEARER = "/elp/api/v1/delivery/", b"bearer "
"""Boxes read this with a token of their own, which the route checks."""
_OPEN_BELOW = "/static-files/"
_ASSISTANT = "/mlflow/assistant"
"""In the path of MLflow's assistant. It runs commands as the server's user, who can write the database and the keys."""
_OPEN_BYTES = 65_536
"""Of the body of a request that needs no login: MLflow's server reads a body as a whole before the route sees it."""
_LONGEST = 200
"""Characters of a request's path in the ledger."""


class AuthMiddleware:
    """The ASGI layer that gives every request its caller, and refuses a request without a login.

    `login` returns the caller with a user name and password, or None if they are wrong; without it every request is let
    in under the name ``unknown``. `record` records (principal, what, sentence) of a request whose caller lacks the
    right.
    """

    def __init__(self, app: ASGIApp, login: Login | None = None, record: Record | None = None) -> None:
        self.app = app
        self.login = login
        self.record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with 401, 403, 404 or 413, or pass it on."""
        path = scope.get("path", "")
        open_to_all = path in _OPEN or path.startswith(_OPEN_BELOW)
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            # neither our pages nor those of MLflow and Prefect open a web socket
            return await WebSocketClose(1008)(scope, receive, send)
        # the routes have no prefix of a proxy or of MLflow
        route = path.removeprefix(scope.get("root_path", "")).removeprefix(static_prefix())
        with_token = (scope["method"], route) in _OWN_CHECK or _is_of_a_box(scope, route)
        if (open_to_all or with_token) and _is_large(scope):
            sentence = f"the body of this request may have {_OPEN_BYTES} bytes, and has to say its length"
            return await _error(413, "INVALID_PARAMETER_VALUE", sentence)(scope, receive, send)
        if open_to_all:
            return await self.app(scope, receive, send)
        if with_token:
            address = scope["client"][0] if scope.get("client") else ""
            # without a right and without a proven name, as the routes see it
            with acting_as(Caller(UNKNOWN, self.login is not None, address)):
                return await self.app(scope, receive, send)
        caller = await self._caller(scope)
        if caller is None:
            answer = _error(401, "UNAUTHENTICATED", "this server requires a login: log in")
            answer.headers["www-authenticate"] = 'Basic realm="mlflow"'
            return await answer(scope, receive, send)
        # anywhere in the path: a static prefix may come before it
        if _ASSISTANT in path:
            answer = _error(404, "ENDPOINT_NOT_FOUND", "the guarded server has no MLflow assistant")
            return await answer(scope, receive, send)
        right = right_needed(scope["method"], route)
        if not has_right(caller, right):
            sentence = denial(caller, right)
            if self.record is not None:
                what = f"{scope['method']} {path}"[:_LONGEST]
                # a record waits for the ledger lock, which must not block other requests
                await anyio.to_thread.run_sync(self.record, caller, what, sentence)
            return await _error(403, "PERMISSION_DENIED", sentence)(scope, receive, send)
        with acting_as(caller):
            await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        address = scope["client"][0] if scope.get("client") else ""
        if self.login is None:
            return Caller(UNKNOWN, False, address)
        # a header may hold any byte, and latin-1 decodes each of them
        sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        credentials = Authorization.from_header(sent)
        # a Digest header has a username and a password too
        if credentials is None or credentials.type != "basic":
            return None
        # a password check takes tens of milliseconds on purpose: in a thread, it does not block other requests
        found = await anyio.to_thread.run_sync(self.login, credentials.username or "", credentials.password or "")
        return found and Caller(found.name, True, address, found.admin, found.roles)


def _is_of_a_box(scope: Scope, route: str) -> bool:
    """Return whether a request reads a delivery with the token of a box."""
    sent = dict(scope["headers"]).get(b"authorization", b"")
    return scope["method"] == "GET" and route.startswith(_DELIVERY) and sent[:7].lower() == _BEARER


def _is_large(scope: Scope) -> bool:
    """Return whether the body of a request may be larger than `_OPEN_BYTES`."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    # a body in chunks has no length, and digits without end are no number for Python
    return b"transfer-encoding" in headers or len(length) > 9 or not length.isdigit() or int(length) > _OPEN_BYTES


def _error(status: int, code: str, message: str) -> JSONResponse:
    """Return an error in MLflow's form, so that its pages and its client show the sentence."""
    return JSONResponse({"error_code": code, "message": message}, status)
