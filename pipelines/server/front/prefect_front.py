"""The ASGI layer that passes requests below /prefect/ on to Prefect and streams its answers back.

It is inside `AuthMiddleware`, which has checked the login and the right of every request. Bodies and answers pass in
pieces, so that memory is bounded.
"""

from __future__ import annotations

import html
import logging
from collections.abc import AsyncIterator

import anyio
import httpx
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.prefect_names import PREFECT_PATH
from pipelines.server.auth.prefect_rights import basic
from pipelines.server.front import passed_request
from pipelines.server.mlflow_private import static_prefix

_DOWN = "Prefect does not answer; if this stays so, look at: elp status, then start it with: elp up"
_LOCKED_OUT = "Prefect does not accept this server's key; restart both with: elp down, then elp up"
_TOO_LONG = f"the body of the request has more than {passed_request.LONGEST_BODY} bytes"
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=60.0, pool=10.0)

_log = logging.getLogger(__name__)


class PrefectFront:
    """Prefect below ``/prefect/``; every other request goes to `app`."""

    def __init__(self, app: ASGIApp, upstream: str, login: str = "") -> None:
        self.app = app
        self.upstream = upstream.rstrip("/")
        self.host = httpx.URL(self.upstream).netloc.decode()
        self.login = basic(login).encode() if login else b""
        # a kept connection may be one that a restarted Prefect has closed
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        self.transport = httpx.AsyncHTTPTransport(verify=False, trust_env=False, limits=limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        mount, path = static_prefix() + PREFECT_PATH, scope.get("path", "")
        if scope["type"] != "http" or not (path == mount or path.startswith(f"{mount}/")):
            return await self.app(scope, receive, send)
        answer = _refusal(scope, mount)
        if answer is None and path == mount:
            query = scope.get("query_string", b"").decode("ascii")
            answer = RedirectResponse(f"{mount}/{'?' + query if query else ''}")
        if answer is not None:
            return await answer(scope, receive, send)
        async with anyio.create_task_group() as tasks:
            body = _Body(scope, receive)
            tasks.start_soon(_watch, body, tasks.cancel_scope)
            await self._pass_on(scope, body, send, mount)
            tasks.cancel_scope.cancel()

    async def _pass_on(self, scope: Scope, body: _Body, send: Send, mount: str) -> None:
        target = passed_request.target(scope["raw_path"], scope["query_string"], mount)
        headers = passed_request.passed_headers(scope["headers"], self.host, self.login)
        asked = httpx.Request(
            scope["method"],
            self.upstream,
            headers=[*headers, *body.framing],
            stream=body if body.framing else None,
            # the exact bytes: nothing may change the path between the check of the right and Prefect
            extensions={"target": target, "timeout": _TIMEOUT.as_dict()},
        )
        started = False
        try:
            answer = await self.transport.handle_async_request(asked)
            try:
                if answer.status_code == 401:
                    return await _unavailable(scope, _LOCKED_OUT)(scope, body.receive, send)
                kept = passed_request.kept_headers(answer.headers.raw, self.upstream, mount)
                started = True
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                assert isinstance(answer.stream, httpx.AsyncByteStream)
                async for piece in answer.stream:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
            finally:
                await answer.aclose()
        except _Gone:
            return
        except _TooLong:
            await _error(413, "INVALID_PARAMETER_VALUE", _TOO_LONG)(scope, body.receive, send)
        except httpx.TransportError as error:
            _log.warning("Prefect at %s: %s", self.upstream, error or type(error).__name__)
            # an answer that has begun is left without its end: the server then closes the connection
            if not started:
                await _unavailable(scope, _DOWN)(scope, body.receive, send)


class _Gone(Exception):
    """The caller has closed the connection."""


class _TooLong(Exception):
    """The body is longer than Prefect may get."""


class _Body(httpx.AsyncByteStream):
    """The body of a request, read piece by piece, framed by its length or in chunks, never by both."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        self.read = anyio.Event()
        given = dict(scope["headers"])
        length = given.get(b"content-length", b"0")
        if b"transfer-encoding" in given:
            self.framing = [(b"transfer-encoding", b"chunked")]
        else:
            self.framing = [(b"content-length", length)] if length != b"0" else []
        if not self.framing:
            self.read.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message: Message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            size += len(message.get("body", b""))
            if size > passed_request.LONGEST_BODY:
                raise _TooLong
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                self.read.set()
                return


async def _watch(body: _Body, scope: anyio.CancelScope) -> None:
    """Cancel when the caller closes the connection: nobody would read the rest of a long answer."""
    await body.read.wait()
    while (await body.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _refusal(scope: Scope, mount: str) -> Response | None:
    """Return the answer to a request that is not passed on; None if it is."""
    from mlflow.environment_variables import MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE
    from mlflow.server.fastapi_security import get_allowed_hosts
    from mlflow.server.security_utils import INVALID_HOST_MSG, is_allowed_host_header

    headers = dict(scope["headers"])
    if scope["method"] not in passed_request.METHODS:
        return _error(405, "METHOD_NOT_ALLOWED", f"expected one of {', '.join(passed_request.METHODS)}")
    names = [name for name, _ in scope["headers"]]
    if any(names.count(name) > 1 for name in (b"host", b"origin", b"content-length", b"transfer-encoding")):
        return _error(400, "INVALID_PARAMETER_VALUE", "the request has a header twice that it may have once")
    # as MLflow checks it: by the name of a rebound address, another site would read these pages
    host = headers.get(b"host", b"").decode("latin-1")
    checked = MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE.get() != "true"
    if checked and not is_allowed_host_header(get_allowed_hosts(), host):
        return _error(403, "PERMISSION_DENIED", INVALID_HOST_MSG)
    if fault := passed_request.path_fault(scope["raw_path"], scope["query_string"], mount):
        return _error(400, "INVALID_PARAMETER_VALUE", fault)
    if fault := passed_request.site_fault(scope["method"], headers):
        return _error(403, "PERMISSION_DENIED", fault)
    return None


def _error(status: int, code: str, sentence: str) -> Response:
    return JSONResponse({"error_code": code, "message": sentence}, status)


def _unavailable(scope: Scope, sentence: str) -> Response:
    """Return the answer while Prefect cannot be asked: a page that reloads automatically, or JSON for a script."""
    headers = {"Retry-After": "5", "Cache-Control": "no-store"}
    if b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
        answer = _error(502, "TEMPORARILY_UNAVAILABLE", sentence)
    else:
        answer = HTMLResponse(_PAGE.format(sentence=html.escape(sentence), prefix=html.escape(static_prefix())), 502)
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    answer.headers.update(headers)
    return answer


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Prefect does not answer</title></head>
<body><h1>Prefect does not answer</h1><p>{sentence}</p><p>This page reloads every 5 seconds.</p>
<p><a href="{prefix}/elp/">The console</a> is available.</p></body></html>
"""
