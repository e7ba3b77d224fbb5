"""Errors as the clients of OpenAI's API read them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from elp_core.errors import AudioError, ConfigError, CorpusError
from pipelines.errors import GateRefused, RegistryError, RequestRefused, ServiceError, TemplateError, UsageError

_log = logging.getLogger("elp.serve")
_VOICES = {"not enrolled": 404, "other bundle": 409}
"""Status by the reason of a TemplateError; 400 for others."""
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_answer(error: Exception) -> JSONResponse:
    """Return the answer for an error; what no client can cause is logged and answered without its text."""
    status, body = _described(error)
    retry = error.retry_after if isinstance(error, RequestRefused) else None
    return JSONResponse(body, status, headers={"retry-after": str(retry)} if retry else None)


def error_body(error: Exception) -> dict[str, Any]:
    """Return the JSON of an error, for a websocket."""
    return _described(error)[1]


async def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of a route."""
    if isinstance(error, HTTPException):
        # of the framework: no such route, another method
        code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        text = f"{request.method} {request.url.path}: {error.detail}; GET /docs lists the routes"
        return JSONResponse(_body(error.status_code, code, text), error.status_code, headers=error.headers)
    return error_answer(error)


def _described(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return the status of an error, and its JSON."""
    if isinstance(error, RequestRefused):
        status, code, message = error.status, error.code, str(error)
    elif isinstance(error, AudioError):
        status, code, message = 413 if error.reason in ("too_long", "too_large") else 400, error.reason, str(error)
    elif isinstance(error, TemplateError):
        status, code, message = _VOICES.get(error.reason, 400), error.reason.replace(" ", "_"), str(error)
    elif isinstance(error, GateRefused):
        status, code, message = 409, "refused", str(error)
    elif isinstance(error, ServiceError | RegistryError):
        # its text has the address of the registry, which is not for clients
        _log.warning("the registry failed at a request: %s", error)
        status, code = 503, "registry_away"
        message = "the registry, which keeps the enrolled voices, did not answer or refused; the server's log has more"
    elif isinstance(error, ConfigError | UsageError | CorpusError):
        status, code, message = 400, "invalid_value", str(error)
    else:
        _log.error("a request failed", exc_info=error)
        status, code, message = 500, "internal_error", "the server failed at this request; its log has the reason"
    return status, _body(status, code, message)


def _body(status: int, code: str, message: str) -> dict[str, Any]:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
