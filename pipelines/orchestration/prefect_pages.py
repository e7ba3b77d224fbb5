"""Prefect's pages under a content policy, so that a browser sends no request to another host.

Its UI has an analytics library that reports to a host of its vendor even if analytics is off. Checked with 3.8.8.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

_API_NAMES = ("PREFECT_API_URL", "PREFECT_SERVER_UI_API_URL", "PREFECT_UI_API_URL")
"""Environment variables that name the address by which the pages ask the server."""


def content_policy(*apis: str) -> str:
    """Return the policy: everything from this server, requests also to the addresses of its API, by other names too.

    The pages have styles and a script in their HTML, and read the code of a picture from memory.
    """
    # the page may be open as localhost while the API is named 127.0.0.1
    hosts = dict.fromkeys((parts.scheme, parts.netloc) for parts in map(urlsplit, filter(None, apis)))
    there = "".join(f" {scheme}://{host} {scheme.replace('http', 'ws')}://{host}" for scheme, host in hosts)
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"worker-src 'self' blob:; connect-src 'self'{there}; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    )


def with_policy(app: App) -> App:
    """Return the application with the policy on every answer, and without a referrer for links to other hosts."""
    headers = [
        (b"content-security-policy", content_policy(*(os.environ.get(name, "") for name in _API_NAMES)).encode()),
        (b"referrer-policy", b"same-origin"),
        (b"x-dns-prefetch-control", b"off"),
    ]

    async def guarded(scope: Scope, receive: Any, send: Send) -> None:
        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await app(scope, receive, send_with_policy if scope["type"] == "http" else send)

    return guarded


def serve_pages_with_policy() -> None:
    """Let the Prefect server that this process starts send the policy."""
    from prefect.server.api import server

    original = server.create_app

    def create_app(*args: Any, **kwargs: Any) -> Any:
        return with_policy(original(*args, **kwargs))

    # the command reads it from the module when it starts the server
    setattr(server, "create_app", create_app)  # noqa: B010 (mypy refuses the assignment to a function)
