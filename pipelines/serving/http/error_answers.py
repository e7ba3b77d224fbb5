"""Errors as the clients of OpenAI's API read them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from elp_core.errors import AudioError, ConfigError, CorpusError
from pipelines.errors import RequestRefused, UsageError

_log = logging.getLogger("elp.serve")
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_answer(error: Exception) -> JSONResponse:
    """Return the answer for an error; what no client can cause is logged and answered without its text."""
    if isinstance(error, RequestRefused):
        return _answer(error.status, error.code, str(error), error.retry_after)
    if isinstance(error, AudioError):
        status = 413 if error.reason in ("too_long", "too_large") else 400
        return _answer(status, error.reason, str(error))
    if isinstance(error, ConfigError | UsageError | CorpusError):
        return _answer(400, "invalid_value", str(error))
    _log.error("a request failed", exc_info=error)
    return _answer(500, "internal_error", "the server failed at this request; its log has the reason")


async def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of a route."""
    if isinstance(error, HTTPException):
        # of the framework: no such route, another method
        code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        text = f"{request.method} {request.url.path}: {error.detail}; GET /docs lists the routes"
        return _answer(error.status_code, code, text, headers=dict(error.headers or {}))
    return error_answer(error)


def _answer(
    status: int, code: str, message: str, retry_after: int | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    more = {**(headers or {}), **({"retry-after": str(retry_after)} if retry_after else {})}
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JSONResponse(body, status, headers=more)
