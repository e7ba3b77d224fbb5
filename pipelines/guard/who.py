"""Who is calling the server, as far as it knows."""

from __future__ import annotations

import os
from contextvars import ContextVar

from flask import has_request_context, request

from pipelines.attest.ledger import Who

SERVER = Who("server", True, "")
"""What the server does by itself."""

address: ContextVar[str] = ContextVar("elp_caller_address", default="")
"""Address of the caller where no Flask request is at hand: the artifact routes that MLflow has in FastAPI."""

_LONGEST = 200


def login_on() -> bool:
    """Whether MLflow's basic auth runs in this server: every name is then proven."""
    return os.environ.get("ELP_AUTH", "") == "1"


def caller(claimed: str = "") -> Who:
    """The caller of the request that is being answered.

    Args:
        claimed: The name that the caller gives; it counts only where there is no login.
    """
    if not has_request_context():
        return Who(_name(claimed), False, address.get())
    came_from = request.remote_addr or address.get()
    if login_on():
        credentials = request.authorization
        return Who(_name(credentials.username if credentials else ""), True, came_from)
    return Who(_name(claimed), False, came_from)


def _name(text: str | None) -> str:
    return (text or "unknown")[:_LONGEST]
